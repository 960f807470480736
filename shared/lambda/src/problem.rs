//! Errors over HTTP: RFC 9457 `application/problem+json`, without any detail of the system's internals.

use std::error::Error;

use lambda_http::http::{HeaderValue, StatusCode, header};
use lambda_http::{Body, Response};
use serde::Serialize;
use trackops_aws::StoreError;
use trackops_aws::secrets::SecretError;

/// One field that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// JSON Pointer (RFC 6901) into the request body, or the name of a header or query parameter.
    pub pointer: String,
    /// What to change.
    pub detail: String,
}

#[derive(Debug)]
pub struct Problem {
    pub status: StatusCode,
    /// Stable name, the last part of `type`.
    pub kind: &'static str,
    pub title: &'static str,
    pub detail: Option<Box<str>>,
    pub errors: Vec<FieldError>,
    headers: Vec<(&'static str, &'static str)>,
    /// Only for the log.
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

impl Problem {
    pub const fn new(status: StatusCode, kind: &'static str, title: &'static str) -> Self {
        Self {
            status,
            kind,
            title,
            detail: None,
            errors: Vec::new(),
            headers: Vec::new(),
            source: None,
        }
    }

    #[must_use]
    pub fn detail(mut self, detail: impl Into<Box<str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    #[must_use]
    pub fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }

    pub fn not_found(kind: &'static str, title: &'static str) -> Self {
        Self::new(StatusCode::NOT_FOUND, kind, title)
    }

    pub fn order_not_found() -> Self {
        Self::not_found("order-not-found", "There is no such order.")
    }

    pub fn invalid(errors: Vec<FieldError>) -> Self {
        let mut problem = Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid-request",
            "The request has invalid fields.",
        );
        problem.errors = errors;
        problem
    }

    /// One field, header or parameter is wrong.
    pub fn field(pointer: &str, detail: impl ToString) -> Self {
        Self::invalid(vec![FieldError { pointer: pointer.to_owned(), detail: detail.to_string() }])
    }

    /// Source of the challenges: RFC 6750, section 3.
    pub fn token_missing() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "A bearer token is needed.")
            .header("www-authenticate", "Bearer")
    }

    pub fn token_refused() -> Self {
        let title = "The bearer token is not valid here.";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", title)
            .header("www-authenticate", "Bearer error=\"invalid_token\"")
    }

    /// Somebody else has changed it since the caller read it.
    pub fn changed(tag: Option<&str>) -> Self {
        let title = "It was changed since you read it. Read it again.";
        let detail = tag.map_or("It has no ETag.".into(), |tag| format!("Its ETag is \"{tag}\"."));
        Self::new(StatusCode::PRECONDITION_FAILED, "changed", title).detail(detail)
    }

    /// `If-None-Match` excludes the current version.
    pub fn known(tag: &str) -> Self {
        let title = "It is as If-None-Match says that it must not be.";
        Self::new(StatusCode::PRECONDITION_FAILED, "known", title)
            .detail(format!("Its ETag is \"{tag}\"."))
    }

    pub fn forbidden() -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "Your role may not do this.")
    }

    pub fn busy(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let mut problem = Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "busy",
            "The service is busy. Try again; with the same Idempotency-Key nothing is done twice.",
        )
        .header("retry-after", "1");
        problem.source = Some(source.into());
        problem
    }

    pub fn internal(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let mut problem = Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal-error",
            "Something went wrong on our side.",
        );
        problem.source = Some(source.into());
        problem
    }

    pub fn into_response(self) -> Response<Body> {
        #[derive(Serialize)]
        struct Wire<'a> {
            r#type: String,
            title: &'a str,
            status: u16,
            #[serde(skip_serializing_if = "Option::is_none")]
            detail: Option<&'a str>,
            #[serde(skip_serializing_if = "<[FieldError]>::is_empty")]
            errors: &'a [FieldError],
        }
        let wire = Wire {
            r#type: format!("urn:trackops:problem:{}", self.kind),
            title: self.title,
            status: self.status.as_u16(),
            detail: self.detail.as_deref(),
            errors: &self.errors,
        };
        let mut response = crate::http::json(self.status, &wire);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        for (name, value) in self.headers {
            headers.insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

impl From<SecretError> for Problem {
    fn from(error: SecretError) -> Self {
        match error {
            SecretError::Unreadable { .. } => Self::busy(error),
            SecretError::Short => Self::internal(error),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Stale | StoreError::Busy(_) => Self::busy(error),
            StoreError::Corrupt(_) => Self::internal(error),
        }
    }
}
