//! `Idempotency-Key`: a repeated request gets the answer that the first one got.

use std::str;

use lambda_http::http::{HeaderName, HeaderValue, StatusCode};
use lambda_http::{Body, Request, RequestExt, Response};
use sha2::{Digest, Sha256};
use trackops_aws::once::{Answered, Once, Repeatable};
use uuid::Uuid;

use crate::http::{Answer, Call, single_header};
use crate::identity::Caller;
use crate::preconditions::Preconditions;
use crate::problem::Problem;

/// Namespace of the ids of requests. Changing it would forget every key.
const REQUESTS: Uuid = Uuid::from_u128(0x2c9e_51b4_7f0d_4a86_8d17_90ab_3e5c_f261);

const KEY: &str = "Idempotency-Key";
/// Bytes.
const MAX_KEY: usize = 255;
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

pub fn key(request: &Request) -> Result<Option<&str>, Problem> {
    let Some(value) = single_header(request, KEY)? else { return Ok(None) };
    let visible = |key: &&str| key.bytes().all(|byte| byte.is_ascii_graphic());
    let key = value.to_str().ok().filter(|key| (1..=MAX_KEY).contains(&key.len()));
    key.filter(visible).map(Some).ok_or_else(|| {
        Problem::field(KEY, format!("must have 1 to {MAX_KEY} visible ASCII characters"))
    })
}

/// Whose key it is, and of what: subjects are the issuer's, and an operator and a service may have the same one.
pub fn scope(caller: &Caller, what: &str) -> String {
    format!("{}/{what}/{}", caller.role.name(), caller.subject)
}

/// Tells whether two requests under one key are the same.
pub fn hash(request: &Request) -> String {
    let body: &[u8] = request.body();
    hex::encode(Sha256::digest(body))
}

pub fn reused() -> Problem {
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "idempotency-key-reused",
        "This Idempotency-Key was used for another request. Use a new key for a new one.",
    )
}

pub fn replayed(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response
}

/// How a repetition of a request that changes something is recognised.
#[derive(Debug)]
pub struct Repetition {
    pub request: Repeatable,
    hash: String,
}

impl Repetition {
    /// A request is recognised by its `Idempotency-Key`. Without a key it is recognised by its content, if it names a
    /// single version in `If-Match` and `same_again` says that making its change twice has the same effect as making it
    /// once. Otherwise it counts as a new request; only this invocation recognises its own retries.
    pub fn of(call: &Call, conditions: &Preconditions, same_again: bool) -> Result<Self, Problem> {
        let request = &call.request;
        let (method, path) = (request.method().as_str(), request.raw_http_path());
        let mut hash = Sha256::new_with_prefix(format!("{method} {path}\n"));
        let body: &[u8] = request.body();
        hash.update(body);
        let hash = hex::encode(hash.finalize());

        let key = key(request)?;
        let version = conditions.one_version().filter(|_| same_again);
        let name = match (key, version) {
            (Some(key), _) => Some(format!("key {key}")),
            (None, Some(version)) => Some(format!("version {version} {hash}")),
            (None, None) => None,
        };
        let caller = format!("{:?} {}", call.caller.role, call.caller.subject);
        let id = name.map_or_else(Uuid::now_v7, |name| {
            // The length keeps ("ab", "c") and ("a", "bc") apart.
            let name = format!("{}:{caller}{name}", caller.len());
            Uuid::new_v5(&REQUESTS, name.as_bytes())
        });
        Ok(Self { request: Repeatable { id, keep_unchanged: key.is_some() }, hash })
    }

    /// `response` in the form in which it is stored.
    pub fn kept(&self, response: &Response<Body>) -> Result<Answered, Problem> {
        let headers = response.headers().iter().map(|(name, value)| {
            let text = value.to_str().map_err(Problem::internal)?;
            Ok((name.to_string(), text.to_owned()))
        });
        let body: &[u8] = response.body();
        Ok(Answered {
            request_hash: self.hash.clone(),
            status: response.status().as_u16(),
            headers: headers.collect::<Result<_, Problem>>()?,
            body: str::from_utf8(body).map_err(Problem::internal)?.to_owned(),
        })
    }

    /// The answer that the request gets, whenever it comes; a 422 when another request has used its id.
    pub fn answer(&self, once: Once) -> Answer {
        match once {
            Once::Now(answered) => response(answered),
            Once::Before(first) if first.request_hash != self.hash => Err(reused()),
            Once::Before(first) => Ok(replayed(response(first)?)),
        }
    }
}

fn response(answered: Answered) -> Answer {
    let mut response = Response::builder().status(answered.status);
    for (name, value) in answered.headers {
        response = response.header(name, value);
    }
    response.body(Body::Text(answered.body)).map_err(Problem::internal)
}

#[cfg(test)]
mod tests {
    use lambda_http::http::Method;
    use trackops_domain::Cause;

    use super::*;
    use crate::http::versioned;
    use crate::identity::Role;

    fn keyed(value: &str) -> Result<bool, StatusCode> {
        let mut request = Request::default();
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        request.headers_mut().insert(KEY, value);
        key(&request).map(|key| key.is_some()).map_err(|problem| problem.status)
    }

    #[test]
    fn a_key_has_1_to_255_visible_characters() {
        assert!(key(&Request::default()).unwrap().is_none());
        for good in ["k", &"k".repeat(255)] {
            assert_eq!(keyed(good), Ok(true));
        }
        for bad in ["", &"k".repeat(256), "\u{e9}", "my key", "my\tkey"] {
            assert_eq!(keyed(bad), Err(StatusCode::UNPROCESSABLE_ENTITY), "{bad}");
        }
    }

    #[test]
    fn another_body_is_another_request() {
        let hash_of = |body: &str| hash(&Request::new(Body::from(body)));
        assert_eq!(hash_of("{}"), hash_of("{}"));
        assert_ne!(hash_of("{}"), hash_of("{} "));
    }

    fn call(role: Role, subject: &str, path: &str, headers: &[(&'static str, &str)]) -> Call {
        let mut request = Request::new(Body::from("{}")).with_raw_http_path(path);
        *request.method_mut() = Method::PUT;
        for (name, value) in headers {
            request.headers_mut().insert(*name, HeaderValue::from_str(value).unwrap());
        }
        let caller = Caller { role, subject: subject.parse().unwrap() };
        Call { caller, cause: Cause::default(), request }
    }

    fn repetition(call: &Call, same_again: bool) -> Repetition {
        let conditions = Preconditions::of(call.request.headers()).unwrap();
        Repetition::of(call, &conditions, same_again).unwrap()
    }

    #[test]
    fn callers_of_another_kind_have_other_keys_also_with_the_same_subject() {
        let caller = |role, subject: &str| Caller { role, subject: subject.parse().unwrap() };
        let shop = scope(&caller(Role::Service, "shop"), "orders");
        for other in [
            scope(&caller(Role::Operator, "shop"), "orders"),
            scope(&caller(Role::Customer, "shop"), "orders"),
            scope(&caller(Role::Service, "shop"), "reservations"),
            scope(&caller(Role::Service, "orders/shop"), "orders"),
        ] {
            assert_ne!(other, shop);
        }
        assert_eq!(shop, scope(&caller(Role::Service, "shop"), "orders"));
    }

    #[test]
    fn a_key_is_its_callers_alone() {
        let id = |role, subject, key| {
            let call = call(role, subject, "/items/TEA", &[("idempotency-key", key)]);
            repetition(&call, false).request.id
        };
        let olgas = id(Role::Operator, "olga", "k1");
        assert_eq!(olgas, id(Role::Operator, "olga", "k1"));
        let others = [
            id(Role::Service, "olga", "k1"),
            id(Role::Operator, "olg", "ak1"),
            id(Role::Operator, "otto", "k1"),
            id(Role::Operator, "olga", "k2"),
        ];
        assert!(!others.contains(&olgas));
    }

    #[test]
    fn without_a_key_only_a_change_that_is_the_same_twice_and_names_one_version_is_known_again() {
        let known = |headers: &[(&'static str, &str)], same_again| {
            let call = call(Role::Operator, "olga", "/items/TEA", headers);
            repetition(&call, same_again).request.id == repetition(&call, same_again).request.id
        };
        assert!(known(&[("if-match", "\"3\"")], true));
        assert!(!known(&[("if-match", "\"3\"")], false), "two that are alike may be two");
        assert!(known(&[("if-match", "\"3\""), ("idempotency-key", "k")], false));
        for several in ["*", "\"3\", \"4\"", "W/\"3\""] {
            assert!(!known(&[("if-match", several)], true), "{several}");
        }
        assert!(!known(&[], true));
    }

    #[test]
    fn the_first_answer_is_given_again_and_to_another_request_it_is_refused() {
        let keyed = |path| call(Role::Operator, "olga", path, &[("idempotency-key", "k")]);
        let (tea, cup) =
            (repetition(&keyed("/items/TEA"), false), repetition(&keyed("/items/CUP"), false));
        assert_eq!(tea.request.id, cup.request.id);
        let first = versioned(StatusCode::CREATED, 7, &"body");
        let kept = tea.kept(&first).unwrap();
        let again = tea.answer(Once::Before(kept.clone())).unwrap();
        assert_eq!((again.status(), again.body()), (first.status(), first.body()));
        assert_eq!(again.headers()["etag"], "\"7\"");
        assert_eq!(again.headers()[REPLAYED], "true");
        assert!(!tea.answer(Once::Now(kept.clone())).unwrap().headers().contains_key(REPLAYED));
        assert_eq!(cup.answer(Once::Before(kept)).unwrap_err().kind, "idempotency-key-reused");
    }
}
