//! `Idempotency-Key`: a request that comes again gets the answer that the first one got.

use lambda_http::http::{HeaderName, HeaderValue, StatusCode};
use lambda_http::{Body, Request, Response};
use sha2::{Digest, Sha256};

use crate::http::single_header;
use crate::problem::Problem;

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

#[cfg(test)]
mod tests {
    use super::*;

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
}
