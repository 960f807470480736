//! The issuer's public keys. Those that the deployment knows are the first; from then on the issuer is asked, again and
//! again, so that a key which it has withdrawn ends here as well (docs/decisions/0035-keys-are-refreshed.md).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aws_smithy_runtime_api::client::http::HttpConnector;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use http_body_util::{BodyExt, Limited};
use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse,
};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use trackops_aws::clients;

use crate::error::chain;

/// Older keys are fetched again beside a request, which does not wait for them. How old those of the deployment are is
/// not known: they are fetched beside the first request.
const REFRESH_AFTER: Duration = Duration::from_secs(5 * 60);

/// For older keys a request waits. Many fetches fit in between, because Lambda stops a function between requests, and a
/// fetch with it.
const MAX_AGE: Duration = Duration::from_secs(15 * 60);

/// One fetch in this time that a request waits for, and one that none waits for, however many tokens name keys that
/// nobody knows, and whether the issuer answers or not: made-up keys must cost it nothing.
const FETCH_EVERY: Duration = Duration::from_secs(30);

/// How long a fetch may take; one request waits for it.
const FETCH_TAKES: Duration = Duration::from_secs(2);

/// Bytes of a JWKS. The JWKS of large issuers have a few thousand bytes.
const MAX_JWKS: usize = 64 * 1024;

#[derive(Clone)]
pub struct Key {
    id: String,
    /// The key decides the algorithm, never the token. Source: RFC 8725, section 3.1.
    pub algorithm: Algorithm,
    pub key: DecodingKey,
}

pub struct Keys {
    /// Without it there are no other keys than the deployment's.
    uri: Option<Arc<str>>,
    known: Arc<Mutex<Known>>,
    /// When a request began to wait, the last time.
    waited_at: tokio::sync::Mutex<Option<Instant>>,
}

struct Known {
    keys: Vec<Key>,
    /// `None`: they are the deployment's.
    fetched_at: Option<Instant>,
    started_at: Instant,
    /// The newest fetch that no request waits for.
    refresh: Option<(Instant, JoinHandle<()>)>,
}

#[derive(Debug, thiserror::Error)]
pub enum BadKeys {
    #[error("is no JWKS")]
    NotJwks(#[from] serde_json::Error),
    #[error("has no key that can be used: RS256 or ES256, with a kid")]
    NoneUsable,
}

#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("the keys cannot be asked for")]
    Ask(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the issuer did not answer within {} seconds", .0.as_secs())]
    Late(Duration),
    #[error("the issuer answered {0}")]
    Status(u16),
    #[error("the issuer's answer broke off, or is larger than {MAX_JWKS} bytes")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the issuer's answer is no JWKS")]
    NotJwks(#[from] serde_json::Error),
}

impl Keys {
    /// Without `uri` there are no other keys than those of `jwks`.
    pub fn new(jwks: &str, uri: Option<String>, now: Instant) -> Result<Self, BadKeys> {
        let keys = usable(jwks.as_bytes())?;
        if keys.is_empty() {
            return Err(BadKeys::NoneUsable);
        }
        let known = Known { keys, fetched_at: None, started_at: now, refresh: None };
        Ok(Self {
            uri: uri.map(Into::into),
            known: Arc::new(Mutex::new(known)),
            waited_at: tokio::sync::Mutex::default(),
        })
    }

    /// The key with this id. The request waits for the issuer if the key is not known or all of them are too old,
    /// unless somebody has just asked. If the issuer does not answer, known keys stay good.
    pub async fn find(&self, id: &str, now: Instant) -> Option<Key> {
        let Some(uri) = &self.uri else { return locked(&self.known).find(id) };
        let (key, age) = {
            let known = locked(&self.known);
            (known.find(id), known.age(now))
        };
        if key.is_some() && age <= MAX_AGE {
            self.begin_refresh(uri, now);
            return key;
        }
        self.wait_for_keys(uri, now).await;
        locked(&self.known).find(id)
    }

    fn begin_refresh(&self, uri: &Arc<str>, now: Instant) {
        let mut known = locked(&self.known);
        if !known.is_due(now) {
            return;
        }
        let (uri, kept) = (uri.clone(), self.known.clone());
        let refresh = async move {
            match fetch_within(FETCH_EVERY, &uri).await {
                Ok(keys) => locked(&kept).learn(keys, now),
                Err(error) => {
                    let age = locked(&kept).age(now).as_secs();
                    let (uri, error) = (&*uri, chain(&error));
                    tracing::warn!(uri, age, error, "the issuer's keys were not fetched");
                }
            }
        };
        known.refresh = Some((now, tokio::spawn(refresh)));
    }

    async fn wait_for_keys(&self, uri: &str, now: Instant) {
        // Held while fetching: others wait for the answer instead of asking as well.
        let mut waited_at = self.waited_at.lock().await;
        if waited_at.is_some_and(|at| now.saturating_duration_since(at) < FETCH_EVERY) {
            return;
        }
        *waited_at = Some(now);
        match fetch_within(FETCH_TAKES, uri).await {
            Ok(keys) => locked(&self.known).learn(keys, now),
            Err(error) => {
                let (age, error) = (locked(&self.known).age(now).as_secs(), chain(&error));
                tracing::error!(uri, age, error, "the issuer's keys were not fetched");
            }
        }
    }
}

impl Known {
    fn find(&self, id: &str) -> Option<Key> {
        self.keys.iter().find(|key| key.id == id).cloned()
    }

    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.fetched_at.unwrap_or(self.started_at))
    }

    fn is_due(&self, now: Instant) -> bool {
        let is_old = self.fetched_at.is_none() || self.age(now) >= REFRESH_AFTER;
        let begun = |(at, _): &(Instant, _)| now.saturating_duration_since(*at) < FETCH_EVERY;
        is_old && !self.refresh.as_ref().is_some_and(begun)
    }

    /// What the issuer has withdrawn is good no longer. An answer to an older question than the newest one is late.
    fn learn(&mut self, keys: Vec<Key>, asked_at: Instant) {
        if self.fetched_at.is_some_and(|newest| asked_at < newest) {
            return;
        }
        tracing::info!(keys = keys.len(), "fetched the issuer's keys");
        (self.keys, self.fetched_at) = (keys, Some(asked_at));
    }
}

fn locked(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    // Nothing that is done with it can stop in the middle.
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn fetch_within(limit: Duration, uri: &str) -> Result<Vec<Key>, FetchError> {
    timeout(limit, fetch(uri)).await.unwrap_or(Err(FetchError::Late(limit)))
}

async fn fetch(uri: &str) -> Result<Vec<Key>, FetchError> {
    let ask = |error: Box<dyn std::error::Error + Send + Sync>| FetchError::Ask(error);
    let client = clients::http(Some(uri)).map_err(|error| ask(error.into()))?;
    let request = HttpRequest::get(uri).map_err(|error| ask(error.into()))?;
    let answer = client.call(request).await.map_err(|error| ask(error.into()))?;
    if !answer.status().is_success() {
        return Err(FetchError::Status(answer.status().as_u16()));
    }
    let body = Limited::new(answer.into_body(), MAX_JWKS).collect().await;
    Ok(usable(&body.map_err(FetchError::Body)?.to_bytes())?)
}

/// The keys that sign RS256 and ES256. Issuers have others as well, for other purposes, and of kinds that are new.
/// Source: RFC 7517, section 5.
fn usable(jwks: &[u8]) -> Result<Vec<Key>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<Value>,
    }
    let Set { keys } = serde_json::from_slice(jwks)?;
    let jwks = keys.into_iter().filter_map(|key| serde_json::from_value(key).ok());
    Ok(jwks.filter_map(|jwk| key(&jwk)).collect())
}

fn key(jwk: &Jwk) -> Option<Key> {
    let (algorithm, name) = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        }
        _ => return None,
    };
    let common = &jwk.common;
    // Source: RFC 7517, sections 4.2 and 4.3.
    let for_this = common.key_algorithm.is_none_or(|key| key == name)
        && common.public_key_use.as_ref().is_none_or(|key| *key == PublicKeyUse::Signature)
        && common.key_operations.as_ref().is_none_or(|key| key.contains(&KeyOperations::Verify));
    let id = common.key_id.clone().filter(|_| for_this)?;
    Some(Key { id, algorithm, key: DecodingKey::from_jwk(jwk).ok()? })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use futures::FutureExt;
    use serde_json::json;

    /// A point of the curve; source: RFC 7515, appendix A.3.
    fn jwk(id: &str) -> Value {
        json!({"kty": "EC", "crv": "P-256", "kid": id, "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
               "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"})
    }

    fn with(field: &str, value: Value) -> Value {
        let mut key = jwk("k");
        key[field] = value;
        key
    }

    fn jwks(keys: &[Value]) -> String {
        json!({"keys": keys}).to_string()
    }

    /// An issuer, what it answers now, and how often it was asked.
    struct Issuer {
        uri: String,
        answer: Arc<Mutex<(&'static str, String)>>,
        asked: Arc<AtomicUsize>,
    }

    impl Issuer {
        fn answering(status: &'static str, body: String) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let uri = format!("http://{}/jwks.json", listener.local_addr().unwrap());
            let (answer, asked) = (Arc::new(Mutex::new((status, body))), Arc::default());
            let issuer = Self { uri, answer: Arc::clone(&answer), asked: Arc::clone(&asked) };
            std::thread::spawn(move || {
                for connection in listener.incoming() {
                    let mut connection = connection.unwrap();
                    // One small request: it comes in one piece.
                    let _ = connection.read(&mut [0; 4096]).unwrap();
                    asked.fetch_add(1, Ordering::SeqCst);
                    let (status, body) = answer.lock().unwrap().clone();
                    let length = body.len();
                    let head = format!(
                        "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
                    );
                    // Who is told too much hangs up in between.
                    let _ = connection.write_all(format!("{head}{body}").as_bytes());
                }
            });
            issuer
        }

        fn publishing(ids: &[&str]) -> Self {
            Self::answering("200 OK", published(ids))
        }

        fn publishes(&self, ids: &[&str]) {
            *self.answer.lock().unwrap() = ("200 OK", published(ids));
        }

        fn asked(&self) -> usize {
            self.asked.load(Ordering::SeqCst)
        }

        /// What a function of this issuer knows whose deployment knew `id`.
        fn keys(&self, id: &str, now: Instant) -> Keys {
            Keys::new(&published(&[id]), Some(self.uri.clone()), now).unwrap()
        }
    }

    fn published(ids: &[&str]) -> String {
        jwks(&ids.iter().map(|id| jwk(id)).collect::<Vec<_>>())
    }

    const fn minutes(count: u64) -> Duration {
        Duration::from_secs(60 * count)
    }

    /// Whether a token with this key is good, which is known without waiting for anything.
    fn knows_at_once(keys: &Keys, id: &str, now: Instant) -> bool {
        keys.find(id, now).now_or_never().expect("it waits").is_some()
    }

    /// What was begun beside a request has ended.
    async fn refreshed(keys: &Keys) {
        let (_, refresh) = locked(&keys.known).refresh.take().expect("no refresh was begun");
        refresh.await.unwrap();
    }

    #[tokio::test]
    async fn a_key_that_the_issuer_withdraws_ends_and_no_request_waits_for_that() {
        let (issuer, start) = (Issuer::publishing(&["old"]), Instant::now());
        let keys = issuer.keys("old", start);
        assert!(knows_at_once(&keys, "old", start));
        refreshed(&keys).await;
        assert_eq!(issuer.asked(), 1, "how old the deployment's keys are is not known");

        issuer.publishes(&["new"]);
        let young = start + minutes(5) - Duration::from_secs(1);
        assert!(knows_at_once(&keys, "old", young));
        assert!(locked(&keys.known).refresh.is_none());
        assert!(knows_at_once(&keys, "old", start + minutes(5)));
        refreshed(&keys).await;
        assert_eq!(issuer.asked(), 2);
        assert!(knows_at_once(&keys, "new", start + minutes(5)));
        assert!(keys.find("old", start + minutes(5)).await.is_none());
    }

    #[tokio::test]
    async fn a_deployments_key_that_was_withdrawn_before_ends_with_the_first_answer() {
        let (issuer, start) = (Issuer::publishing(&["new"]), Instant::now());
        let keys = issuer.keys("old", start);
        assert!(knows_at_once(&keys, "old", start));
        refreshed(&keys).await;
        assert!(keys.find("old", start).await.is_none());
    }

    #[tokio::test]
    async fn after_a_quarter_of_an_hour_no_key_is_trusted_before_the_issuer_was_asked() {
        let (issuer, start) = (Issuer::publishing(&["old"]), Instant::now());
        let keys = issuer.keys("old", start);
        assert!(keys.find("other", start).await.is_none());
        assert!(knows_at_once(&keys, "old", start));
        issuer.publishes(&["new"]);
        // Nobody came in between.
        let later = start + minutes(15) + Duration::from_secs(1);
        assert!(keys.find("old", later).await.is_none());
        assert!(knows_at_once(&keys, "new", later));
        assert_eq!(issuer.asked(), 2);

        // One whose fetches beside requests never end is no better.
        let issuer = Issuer::publishing(&["new"]);
        let keys = issuer.keys("old", start);
        assert!(knows_at_once(&keys, "old", start));
        locked(&keys.known).refresh.take().unwrap().1.abort();
        assert!(keys.find("old", later).await.is_none());
    }

    #[tokio::test]
    async fn an_issuer_that_withdraws_all_its_keys_has_none() {
        let (issuer, start) = (Issuer::publishing(&[]), Instant::now());
        let keys = issuer.keys("old", start);
        assert!(knows_at_once(&keys, "old", start));
        refreshed(&keys).await;
        assert!(keys.find("old", start).await.is_none());
    }

    #[tokio::test]
    async fn a_new_key_is_fetched_once() {
        let (issuer, now) = (Issuer::publishing(&["old", "new"]), Instant::now());
        let keys = issuer.keys("old", now);
        assert!(keys.find("new", now).await.is_some());
        assert!(knows_at_once(&keys, "new", now) && knows_at_once(&keys, "old", now));
        assert_eq!(issuer.asked(), 1);
    }

    #[tokio::test]
    async fn made_up_keys_are_asked_for_at_a_bounded_rate() {
        let (issuer, start) = (Issuer::publishing(&["new"]), Instant::now());
        let keys = issuer.keys("old", start);
        for second in 0..60 {
            let id = format!("made-up-{second}");
            assert!(keys.find(&id, start + Duration::from_secs(second)).await.is_none());
        }
        assert_eq!(issuer.asked(), 2, "one at once, one after 30 seconds");
    }

    #[tokio::test]
    async fn an_issuer_that_fails_leaves_the_known_keys_good_and_is_asked_at_a_bounded_rate() {
        let too_much = format!("{}{}", published(&["new"]), " ".repeat(MAX_JWKS));
        for (status, answer) in [
            ("500 Internal Server Error", String::new()),
            ("200 OK", "no JWKS".to_owned()),
            ("200 OK", "{}".to_owned()),
            ("200 OK", too_much),
        ] {
            let (issuer, start) = (Issuer::answering(status, answer), Instant::now());
            let keys = issuer.keys("old", start);
            assert!(keys.find("new", start).await.is_none());
            assert_eq!(issuer.asked(), 1);
            for second in 0..60 {
                assert!(knows_at_once(&keys, "old", start + Duration::from_secs(second)));
                if second % 30 == 0 {
                    refreshed_in_vain(&keys).await;
                }
            }
            assert_eq!(issuer.asked(), 3, "beside a request at once, and after 30 seconds");
            for second in 0..60 {
                let later = start + minutes(16) + Duration::from_secs(second);
                assert!(keys.find("old", later).await.is_some(), "they are old, and all there is");
            }
            assert_eq!(issuer.asked(), 5, "one request waited at once, one after 30 seconds");
        }
    }

    /// As [`refreshed`], and what is remembered stays.
    async fn refreshed_in_vain(keys: &Keys) {
        let (at, refresh) = locked(&keys.known).refresh.take().expect("no refresh was begun");
        refresh.await.unwrap();
        locked(&keys.known).refresh = Some((at, tokio::spawn(async {})));
    }

    #[tokio::test]
    async fn an_answer_that_comes_late_does_not_bring_a_withdrawn_key_back() {
        let (issuer, start) = (Issuer::publishing(&["new"]), Instant::now());
        let keys = issuer.keys("old", start);
        let later = start + Duration::from_secs(9);
        assert!(keys.find("new", later).await.is_some());
        locked(&keys.known).learn(usable(published(&["old"]).as_bytes()).unwrap(), start);
        assert!(knows_at_once(&keys, "new", later));
    }

    #[test]
    fn without_an_issuer_to_ask_the_deployments_keys_are_all_and_stay() {
        let start = Instant::now();
        let keys = Keys::new(&published(&["old"]), None, start).unwrap();
        assert!(knows_at_once(&keys, "old", start + minutes(60 * 24)));
        assert!(!knows_at_once(&keys, "new", start));
    }

    #[test]
    fn a_deployment_has_a_key_that_can_be_used() {
        for bad in ["", "{}", &published(&[]), &jwks(&[with("use", json!("enc"))])] {
            assert!(Keys::new(bad, None, Instant::now()).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_keys_that_sign_rs256_or_es256_are_used() {
        let rsa = json!({"kty": "RSA", "kid": "r", "alg": "RS256", "use": "sig", "e": "AQAB", "n": "AQAB"});
        let odd = [
            with("crv", json!("P-384")),
            with("use", json!("enc")),
            with("key_ops", json!(["encrypt"])),
            with("key_ops", json!(["sign"])),
            with("key_ops", json!([])),
            with("alg", json!("ES384")),
            json!({"kty": "AKP", "kid": "a", "alg": "ML-DSA-44", "pub": "AAAA"}),
            json!("no key"),
            json!({"kty": "oct", "kid": "s", "k": "c2VjcmV0"}),
            json!({"kty": "OKP", "crv": "Ed25519", "kid": "e", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}),
        ];
        for key in odd {
            assert!(
                usable(jwks(std::slice::from_ref(&key)).as_bytes()).unwrap().is_empty(),
                "{key}"
            );
            assert_eq!(usable(jwks(&[rsa.clone(), key, jwk("k")]).as_bytes()).unwrap().len(), 2);
        }
        let verifies = with("key_ops", json!(["sign", "verify"]));
        assert_eq!(usable(jwks(&[verifies]).as_bytes()).unwrap().len(), 1);
        let mut nameless = jwk("k");
        nameless.as_object_mut().unwrap().remove("kid");
        assert!(usable(jwks(&[nameless]).as_bytes()).unwrap().is_empty());
    }
}
