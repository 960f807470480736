//! CORS: if an origin is configured, its pages may call the APIs from a browser. Source: the Fetch standard, section
//! "CORS protocol".

use lambda_http::http::{HeaderMap, HeaderValue, Method, header};

use crate::config::{ConfigError, optional_env};

/// The headers of an answer that a page may read, besides those that it always may.
const EXPOSED: &str = "ETag, Location, X-Correlation-Id, Retry-After, Idempotent-Replayed";

/// The headers that a page may send.
const TAKEN: &str = "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Traceparent, X-Api-Key, \
                     X-Correlation-Id";

/// For so many seconds a browser need not ask again. No browser remembers longer than a day, and Chromium not longer
/// than two hours.
const MAX_AGE: &str = "7200";

#[derive(Debug, Clone)]
pub struct Cors {
    origin: Option<HeaderValue>,
}

impl Cors {
    /// The origin that `CORS_ORIGIN` names; empty: none.
    pub fn from_env() -> Result<Self, ConfigError> {
        const NAME: &str = "CORS_ORIGIN";
        let value = optional_env(NAME).map(|origin| origin.parse());
        let bad = |error| ConfigError::new(NAME, format!("is no origin: {error}"));
        Ok(Self { origin: value.transpose().map_err(bad)? })
    }

    /// Tells the browser what a page of the origin `asking` may do with an answer. For a preflight, it allows the
    /// methods in `Allow`.
    pub fn answer(&self, method: &Method, asking: Option<&HeaderValue>, headers: &mut HeaderMap) {
        let Some(origin) = &self.origin else { return };
        // The answer depends on the origin: no cache may give the answer for one origin to another.
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
        if asking != Some(origin) {
            return;
        }
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
        if method == Method::OPTIONS
            && let Some(methods) = headers.get(header::ALLOW).cloned()
        {
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(TAKEN));
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOP: HeaderValue = HeaderValue::from_static("https://shop.example");
    const OTHER: HeaderValue = HeaderValue::from_static("https://shop.example.evil.example");

    fn told(
        origin: Option<HeaderValue>,
        method: &Method,
        asking: Option<&HeaderValue>,
    ) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::ALLOW, HeaderValue::from_static("GET, OPTIONS"));
        Cors { origin }.answer(method, asking, &mut headers);
        headers.remove(header::ALLOW);
        headers
    }

    #[test]
    fn without_an_origin_no_page_is_let_in() {
        for method in [Method::GET, Method::OPTIONS] {
            assert!(told(None, &method, Some(&SHOP)).is_empty());
        }
    }

    #[test]
    fn only_pages_of_the_origin_are_let_in_and_caches_know_it() {
        for asking in [None, Some(&OTHER), Some(&HeaderValue::from_static("null"))] {
            let headers = told(Some(SHOP), &Method::GET, asking);
            assert_eq!(headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN), None, "{asking:?}");
            assert_eq!(headers[header::VARY], "Origin", "{asking:?}");
        }
        let headers = told(Some(SHOP), &Method::GET, Some(&SHOP));
        assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], SHOP);
        assert_eq!(headers[header::ACCESS_CONTROL_EXPOSE_HEADERS], EXPOSED);
        assert_eq!(headers[header::VARY], "Origin");
    }

    #[test]
    fn a_preflight_is_told_the_methods_that_the_path_takes() {
        let headers = told(Some(SHOP), &Method::OPTIONS, Some(&SHOP));
        assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_METHODS], "GET, OPTIONS");
        assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_HEADERS], TAKEN);
        assert_eq!(headers[header::ACCESS_CONTROL_MAX_AGE], MAX_AGE);
        let refused = told(Some(SHOP), &Method::OPTIONS, Some(&OTHER));
        assert_eq!(refused.get(header::ACCESS_CONTROL_ALLOW_METHODS), None);
        let no_preflight = told(Some(SHOP), &Method::GET, Some(&SHOP));
        assert_eq!(no_preflight.get(header::ACCESS_CONTROL_ALLOW_METHODS), None);
    }
}
