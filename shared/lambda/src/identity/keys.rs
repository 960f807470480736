//! The issuer's public keys: those that the deployment knows, and newer ones, fetched when a token names one.

use std::time::{Duration, Instant};

use aws_smithy_runtime_api::client::http::HttpConnector;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use http_body_util::{BodyExt, Limited};
use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, KeyOperations, PublicKeyUse,
};
use jsonwebtoken::{Algorithm, DecodingKey};
use tokio::sync::Mutex;
use trackops_aws::clients;

use crate::error::chain;

/// One fetch in this time, however many tokens name keys that nobody knows: made-up ones must cost the issuer nothing.
const FETCH_EVERY: Duration = Duration::from_secs(30);

/// What a fetch may take of the one request that waits for it.
const FETCH_TAKES: Duration = Duration::from_secs(2);

/// Bytes of a JWKS. Those of the large issuers have a few thousand.
const MAX_JWKS: usize = 64 * 1024;

#[derive(Clone)]
pub struct Key {
    id: String,
    /// The key says which algorithm it is for, never the token. Source: RFC 8725, section 3.1.
    pub algorithm: Algorithm,
    pub key: DecodingKey,
}

pub struct Keys {
    uri: Option<String>,
    state: Mutex<State>,
}

struct State {
    known: Vec<Key>,
    fetched_at: Option<Instant>,
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
    #[error("the issuer did not answer within {} seconds", FETCH_TAKES.as_secs())]
    Late,
    #[error("the issuer answered {0}")]
    Status(u16),
    #[error("the issuer's answer broke off, or is larger than {MAX_JWKS} bytes")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the issuer's answer {0}")]
    Keys(#[from] BadKeys),
}

impl Keys {
    /// Without `uri` there are no other keys than those of `jwks`.
    pub fn new(jwks: &str, uri: Option<String>) -> Result<Self, BadKeys> {
        let state = State { known: usable(jwks.as_bytes())?, fetched_at: None };
        Ok(Self { uri, state: Mutex::new(state) })
    }

    /// The key with this id. One that is not known is asked for, unless somebody has just asked.
    pub async fn find(&self, id: &str, now: Instant) -> Option<Key> {
        // Held while fetching: others wait for the answer instead of asking as well.
        let mut state = self.state.lock().await;
        if let Some(key) = state.find(id) {
            return Some(key);
        }
        let uri = self.uri.as_deref()?;
        if state.fetched_at.is_some_and(|at| now.duration_since(at) < FETCH_EVERY) {
            return None;
        }
        state.fetched_at = Some(now);
        let fetched = tokio::time::timeout(FETCH_TAKES, fetch(uri)).await;
        match fetched.unwrap_or(Err(FetchError::Late)) {
            Ok(keys) => {
                tracing::info!(keys = keys.len(), "fetched the issuer's keys");
                // What the issuer has withdrawn is good no longer.
                state.known = keys;
                state.find(id)
            }
            Err(error) => {
                tracing::error!(uri, error = chain(&error), "the issuer's keys were not fetched");
                None
            }
        }
    }
}

impl State {
    fn find(&self, id: &str) -> Option<Key> {
        self.known.iter().find(|key| key.id == id).cloned()
    }
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

/// The keys that sign RS256 and ES256; issuers have others as well, for other purposes.
fn usable(jwks: &[u8]) -> Result<Vec<Key>, BadKeys> {
    let set: JwkSet = serde_json::from_slice(jwks)?;
    let keys: Vec<_> = set.keys.iter().filter_map(key).collect();
    if keys.is_empty() { Err(BadKeys::NoneUsable) } else { Ok(keys) }
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
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use serde_json::{Value, json};

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

    /// An issuer that gives every request `answer`, and how often it was asked.
    fn issuer(status: &'static str, answer: String) -> (String, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let uri = format!("http://{}/jwks.json", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let mut connection = connection.unwrap();
                // One small request: it comes in one piece.
                let _ = connection.read(&mut [0; 4096]).unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                let length = answer.len();
                let head = format!(
                    "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
                );
                // Who is told too much hangs up in between.
                let _ = connection.write_all(format!("{head}{answer}").as_bytes());
            }
        });
        (uri, asked)
    }

    #[tokio::test]
    async fn a_new_key_is_fetched_once_and_a_withdrawn_one_is_forgotten() {
        let (uri, asked) = issuer("200 OK", jwks(&[jwk("new")]));
        let keys = Keys::new(&jwks(&[jwk("old")]), Some(uri)).unwrap();
        let now = Instant::now();
        assert!(keys.find("old", now).await.is_some());
        assert_eq!(asked.load(Ordering::SeqCst), 0, "a known key is not asked for");
        assert!(keys.find("new", now).await.is_some());
        assert!(keys.find("new", now).await.is_some());
        assert!(keys.find("old", now).await.is_none());
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn made_up_keys_are_asked_for_at_a_bounded_rate() {
        let (uri, asked) = issuer("200 OK", jwks(&[jwk("new")]));
        let keys = Keys::new(&jwks(&[jwk("old")]), Some(uri)).unwrap();
        let start = Instant::now();
        for second in 0..60 {
            let id = format!("made-up-{second}");
            assert!(keys.find(&id, start + Duration::from_secs(second)).await.is_none());
        }
        assert_eq!(asked.load(Ordering::SeqCst), 2, "one at once, one after 30 seconds");
    }

    #[tokio::test]
    async fn an_issuer_that_fails_leaves_the_known_keys_good() {
        let too_much = format!("{}{}", jwks(&[jwk("new")]), " ".repeat(MAX_JWKS));
        for (status, answer) in [
            ("500 Internal Server Error", String::new()),
            ("200 OK", "no JWKS".to_owned()),
            ("200 OK", jwks(&[])),
            ("200 OK", too_much),
        ] {
            let (uri, asked) = issuer(status, answer);
            let keys = Keys::new(&jwks(&[jwk("old")]), Some(uri)).unwrap();
            assert!(keys.find("new", Instant::now()).await.is_none());
            assert_eq!(asked.load(Ordering::SeqCst), 1);
            assert!(keys.find("old", Instant::now()).await.is_some());
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
            json!({"kty": "oct", "kid": "s", "k": "c2VjcmV0"}),
            json!({"kty": "OKP", "crv": "Ed25519", "kid": "e", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}),
        ];
        for key in odd {
            assert!(usable(jwks(std::slice::from_ref(&key)).as_bytes()).is_err(), "{key}");
            assert_eq!(usable(jwks(&[rsa.clone(), key, jwk("k")]).as_bytes()).unwrap().len(), 2);
        }
        let verifies = with("key_ops", json!(["sign", "verify"]));
        assert_eq!(usable(jwks(&[verifies]).as_bytes()).unwrap().len(), 1);
        let mut nameless = jwk("k");
        nameless.as_object_mut().unwrap().remove("kid");
        assert!(usable(jwks(&[nameless]).as_bytes()).is_err());
    }
}
