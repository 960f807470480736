//! Endpoints: the caller, the request, and answers that have the same form everywhere.

use std::collections::BTreeMap;
use std::future::Future;
use std::ops::RangeInclusive;
use std::str::FromStr;

use lambda_http::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use lambda_http::request::LambdaRequest;
use lambda_http::tower::Service;
use lambda_http::{
    Adapter, Body, Error, LambdaEvent, Request, RequestExt, Response, lambda_runtime, service_fn,
};
use lambda_runtime::Diagnostic;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tracing::Instrument;
use trackops_domain::Cause;
use uuid::Uuid;

use crate::cors::Cors;
use crate::error::chain;
use crate::fields::{Advice, Fields};
use crate::identity::{Caller, Identity};
use crate::input::Input;
use crate::preconditions::{self, is_read, must_be_none};
use crate::problem::Problem;
use crate::task::TaskError;
use crate::telemetry::journey;

pub const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Bytes. Fifty lines and an address take some 8 KiB.
const MAX_BODY: usize = 64 * 1024;

/// Bytes of a query parameter. The longest, a cursor, has some 300.
const MAX_PARAMETER: usize = 1024;

/// Bytes; `MinimumCompressionSize` of the APIs.
const COMPRESSED_FROM: usize = 16 * 1024;

/// Levels of lists and objects; the limit of serde_json.
const MAX_DEPTH: usize = 127;

/// Source: RFC 8259, section 8.1: it must not be sent, and may be refused.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Entries of a page.
const DEFAULT_LIMIT: u32 = 20;
const MAX_LIMIT: u32 = 100;

pub type Answer = Result<Response<Body>, Problem>;

/// A request of a known caller.
pub struct Call {
    pub caller: Caller,
    pub cause: Cause,
    pub request: Request,
}

/// Serves an endpoint to callers with a valid token. A request that changes something may not have conditions.
pub async fn serve<H, F>(identity: Identity, handler: H) -> Result<(), Error>
where
    H: Fn(Call) -> F + Sync,
    F: Future<Output = Answer> + Send,
{
    serve_public(|request, cause| async {
        let call = call(&identity, request, cause).await?;
        must_be_none(&call.request)?;
        takes_no_parameters(&call.request)?;
        handler(call).await
    })
    .await
}

/// [`serve`] for changes of things that have a version. The handler checks the [`Preconditions`].
///
/// [`Preconditions`]: crate::preconditions::Preconditions
pub async fn serve_conditional<H, F>(identity: Identity, handler: H) -> Result<(), Error>
where
    H: Fn(Call) -> F + Sync,
    F: Future<Output = Answer> + Send,
{
    serve_public(|request, cause| async {
        let call = call(&identity, request, cause).await?;
        takes_no_parameters(&call.request)?;
        handler(call).await
    })
    .await
}

/// [`serve`] for a list, whose handler checks the parameters: see [`Query`].
pub async fn serve_list<H, F>(identity: Identity, handler: H) -> Result<(), Error>
where
    H: Fn(Call) -> F + Sync,
    F: Future<Output = Answer> + Send,
{
    serve_public(|request, cause| async { handler(call(&identity, request, cause).await?).await })
        .await
}

/// Serves an endpoint that identifies its caller in another way, or does not need to.
pub async fn serve_public<H, F>(handler: H) -> Result<(), Error>
where
    H: Fn(Request, Cause) -> F + Sync,
    F: Future<Output = Answer> + Send,
{
    let cors = Cors::from_env()?;
    lambda_http::run(service_fn(|request| answer(&cors, &handler, request))).await
}

async fn call(identity: &Identity, request: Request, cause: Cause) -> Result<Call, Problem> {
    let authorization = header_text(&request, &header::AUTHORIZATION);
    let caller = identity.verify(authorization).await?;
    Ok(Call { caller, cause, request })
}

/// Serves an endpoint, and also other functions that invoke it directly with JSON; IAM decides which functions may.
pub async fn serve_also_direct<H, F, I, O, D, G>(
    identity: Identity,
    handler: H,
    direct: D,
) -> Result<(), Error>
where
    H: Fn(Call) -> F + Sync,
    F: Future<Output = Answer> + Send,
    I: DeserializeOwned + Send,
    O: Serialize,
    D: Fn(I) -> G + Sync,
    G: Future<Output = Result<O, TaskError>> + Send,
{
    let cors = Cors::from_env()?;
    let authenticated = |request: Request, cause| async {
        let call = call(&identity, request, cause).await?;
        must_be_none(&call.request)?;
        takes_no_parameters(&call.request)?;
        handler(call).await
    };
    let (cors, authenticated, direct) = (&cors, &authenticated, &direct);
    lambda_runtime::run(service_fn(|event: LambdaEvent<Value>| async move {
        let broken = |error: serde_json::Error| Diagnostic::from(TaskError::broken(error));
        if event.payload.get("httpMethod").is_none() {
            let input = serde_json::from_value(event.payload).map_err(broken)?;
            let output = direct(input).await.map_err(Diagnostic::from)?;
            return serde_json::to_value(output).map_err(broken);
        }
        let payload = serde_json::from_value::<LambdaRequest>(event.payload).map_err(broken)?;
        let mut http = Adapter::from(service_fn(|request| answer(cors, authenticated, request)));
        let response = http.call(LambdaEvent::new(payload, event.context)).await;
        serde_json::to_value(response.map_err(Diagnostic::from)?).map_err(broken)
    }))
    .await
}

async fn answer<H, F>(cors: &Cors, handler: &H, request: Request) -> Result<Response<Body>, Error>
where
    H: Fn(Request, Cause) -> F + Sync,
    F: Future<Output = Answer> + Send,
{
    let cause = cause(request.headers());
    let (method, path) = (request.method().clone(), request.raw_http_path().to_owned());
    let headers = request.headers().clone();
    let correlation_id = cause.correlation_id.clone();
    let handled = async {
        let answer = handler(request, cause).await;
        if let Err(Problem { source: Some(source), .. }) = &answer {
            tracing::error!(error = chain(source.as_ref()), "request failed");
        }
        let mut response = answer.unwrap_or_else(Problem::into_response);
        if is_read(&method) {
            response = preconditions::answer(&headers, response);
        }
        tracing::info!(%method, path, status = response.status().as_u16(), "request");
        response
    };
    let mut response = handled.instrument(journey(&correlation_id)).await;
    let origin = headers.get(header::ORIGIN);
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&correlation_id) {
        headers.insert(CORRELATION_ID, value);
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    cors.answer(&method, origin, headers);
    if method == Method::HEAD {
        leave_body_out(&mut response);
    }
    Ok(response)
}

/// The answer to `HEAD`: the same as to `GET`, but without the body. Source: RFC 9110, sections 8.6 and 9.3.2.
fn leave_body_out(response: &mut Response<Body>) {
    let body: &[u8] = response.body();
    // The gateway compresses larger bodies, and then the length is different.
    if (1..COMPRESSED_FROM).contains(&body.len()) {
        let length = HeaderValue::from(body.len());
        response.headers_mut().insert(header::CONTENT_LENGTH, length);
    }
    *response.body_mut() = Body::Empty;
}

/// The caller's correlation id when it has the right form, else a new id.
fn cause(headers: &HeaderMap) -> Cause {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let sane = |id: &&str| {
        (1..=128).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b))
    };
    let correlation_id = text(&CORRELATION_ID).filter(sane);
    let is_single = headers.get_all(&TRACEPARENT).iter().count() == 1;
    let traceparent = text(&TRACEPARENT).filter(|_| is_single);
    Cause {
        correlation_id: correlation_id.map_or_else(|| Uuid::now_v7().to_string(), str::to_owned),
        causation_id: None,
        traceparent: traceparent.filter(is_traceparent).map(str::to_owned),
    }
}

/// Source: W3C Trace Context, section 3.2; of version 00, the only one there is.
fn is_traceparent(text: &&str) -> bool {
    let hex = |part: &str| part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    // An id of zeros means that there is no id.
    let names = |part: &str| part.bytes().any(|b| b != b'0');
    let parts: Vec<&str> = text.split('-').collect();
    matches!(parts[..], ["00", trace, parent, flags]
        if (trace.len(), parent.len(), flags.len()) == (32, 16, 2)
            && [trace, parent, flags].into_iter().all(hex)
            && [trace, parent].into_iter().all(names))
}

/// The value of a header, if the header is there exactly once.
pub fn single_header<'a>(
    request: &'a Request,
    name: &str,
) -> Result<Option<&'a HeaderValue>, Problem> {
    let mut values = request.headers().get_all(name).iter();
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(Problem::field(name, "must be given once")),
        (value, None) => Ok(value),
    }
}

pub fn header_text<'a>(request: &'a Request, name: &HeaderName) -> Option<&'a str> {
    request.headers().get(name).and_then(|value| value.to_str().ok())
}

/// A path parameter. A value that cannot be parsed belongs to nothing that exists.
pub fn path_param<T: FromStr>(
    request: &Request,
    name: &str,
    missing: fn() -> Problem,
) -> Result<T, Problem> {
    let parameters = request.path_parameters();
    parameters.first(name).and_then(|text| text.parse().ok()).ok_or_else(missing)
}

fn takes_no_parameters(request: &Request) -> Result<(), Problem> {
    let mut fields = Fields::default();
    for (name, _) in request.query_string_parameters().iter() {
        fields.refuse(Fields::excerpt(name), "is not a parameter of this endpoint");
    }
    fields.finish()
}

/// The parameters of a list's query. Each is taken once; parameters that nobody took are refused at the end.
pub struct Query {
    given: BTreeMap<String, Vec<String>>,
    pub fields: Fields,
}

impl Query {
    pub fn of(request: &Request) -> Self {
        let mut given = BTreeMap::<String, Vec<String>>::new();
        for (name, value) in request.query_string_parameters().iter() {
            given.entry(name.to_owned()).or_default().push(value.to_owned());
        }
        Self { given, fields: Fields::default() }
    }

    pub fn take<T: FromStr>(&mut self, name: &str) -> Option<T>
    where
        T::Err: Advice,
    {
        self.read(name, Fields::parse)
    }

    pub fn whole_number(&mut self, name: &str, range: RangeInclusive<u32>) -> Option<u32> {
        self.read(name, |fields, name, text| fields.whole_number(name, text, range))
    }

    pub fn boolean(&mut self, name: &str) -> Option<bool> {
        self.read(name, Fields::boolean)
    }

    fn read<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut Fields, &str, &str) -> Option<T>,
    ) -> Option<T> {
        let values = self.given.remove(name)?;
        match &values[..] {
            [value] if value.len() <= MAX_PARAMETER => read(&mut self.fields, name, value),
            [_] => {
                self.fields.refuse(name, format!("must have at most {MAX_PARAMETER} bytes"));
                None
            }
            _ => {
                self.fields.refuse(name, "must be given once");
                None
            }
        }
    }

    /// How many entries a page shall have at most.
    pub fn limit(&mut self) -> usize {
        self.whole_number("limit", 1..=MAX_LIMIT).unwrap_or(DEFAULT_LIMIT) as usize
    }

    pub fn finish(mut self) -> Result<(), Problem> {
        for name in self.given.keys() {
            self.fields.refuse(Fields::excerpt(name), "is not a parameter of this list");
        }
        self.fields.finish()
    }
}

/// The JSON body, if it is well-formed. [`Input::read`] then checks its content.
pub fn body(request: &Request) -> Result<Input, Problem> {
    let content_type = header_text(request, &header::CONTENT_TYPE).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/json") {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported-media-type",
            "Send JSON with Content-Type: application/json.",
        ));
    }
    let bytes: &[u8] = request.body().as_ref();
    if bytes.len() > MAX_BODY {
        return Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-large",
            "The body is larger than 64 KiB.",
        ));
    }
    serde_json::from_slice(bytes).map_err(|error| {
        let title = "The body is not well-formed JSON.";
        let detail = not_json(bytes, &error);
        Problem::new(StatusCode::BAD_REQUEST, "malformed-json", title).detail(detail)
    })
}

/// Says at which place a body is not JSON, and what to change.
fn not_json(bytes: &[u8], error: &serde_json::Error) -> String {
    if let Err(error) = std::str::from_utf8(bytes) {
        return format!("It is not UTF-8 from byte {} on, counted from 0.", error.valid_up_to());
    }
    if bytes.starts_with(BYTE_ORDER_MARK) {
        return "It begins with a byte order mark: leave it out.".into();
    }
    if bytes.trim_ascii().is_empty() {
        return "It is empty: send one JSON object.".into();
    }
    if is_deep(bytes) {
        return format!("Its lists and objects are more than {MAX_DEPTH} levels deep.");
    }
    let (line, column) = (error.line(), error.column());
    match error.is_eof() {
        true => format!("It breaks off at line {line}, column {column}."),
        false => format!(
            "What ends at line {line}, column {column} is not JSON there, or is a number that does not fit a double."
        ),
    }
}

/// Whether serde_json refused the body because of its depth. Its error does not say this.
fn is_deep(bytes: &[u8]) -> bool {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return true;
        }
    }
    false
}

pub fn json(status: StatusCode, body: &impl Serialize) -> Response<Body> {
    // Serialising fails only for maps with keys that are not strings, and no answer has such a map.
    let text = serde_json::to_string(body).unwrap_or_else(|error| {
        tracing::error!(error = chain(&error), "an answer could not be serialised");
        "{}".into()
    });
    let mut response = Response::new(Body::Text(text));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

/// An answer without a version: its `ETag` is a hash of its body.
pub fn tagged(mut response: Response<Body>) -> Response<Body> {
    let body: &[u8] = response.body();
    // 16 bytes are enough that two bodies never have the same hash by chance.
    let tag = hex::encode(&Sha256::digest(body)[..16]);
    tag_with(&mut response, &tag);
    response
}

/// The caller's own cache may keep the answer, and asks each time whether it still holds.
pub fn kept_by_caller(mut response: Response<Body>) -> Response<Body> {
    let policy = HeaderValue::from_static("private, no-cache");
    response.headers_mut().insert(header::CACHE_CONTROL, policy);
    response
}

/// An answer with the version of the shown thing as a strong `ETag`.
pub fn versioned(status: StatusCode, version: u64, body: &impl Serialize) -> Response<Body> {
    let mut response = json(status, body);
    tag_with(&mut response, &version.to_string());
    response
}

fn tag_with(response: &mut Response<Body>, tag: &str) {
    if let Ok(etag) = HeaderValue::from_str(&format!("\"{tag}\"")) {
        response.headers_mut().insert(header::ETAG, etag);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::telemetry::logged::Log;

    fn asking(query: &[(&str, &[&str])]) -> Query {
        let query: HashMap<String, Vec<String>> = query
            .iter()
            .map(|(name, values)| {
                (name.to_string(), values.iter().map(|v| v.to_string()).collect())
            })
            .collect();
        Query::of(&Request::default().with_query_string_parameters(query))
    }

    fn refused(query: Query) -> Vec<String> {
        let errors = query.finish().err().map(|problem| problem.errors).unwrap_or_default();
        errors.into_iter().map(|error| error.pointer).collect()
    }

    #[test]
    fn all_that_is_wrong_with_a_query_is_said_at_once() {
        let mut query = asking(&[
            ("limit", &["101"]),
            ("from", &["yesterday"]),
            ("to", &["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]),
            ("offset", &["3"]),
        ]);
        query.limit();
        assert_eq!(query.take::<trackops_domain::Timestamp>("from"), None);
        assert_eq!(query.take::<trackops_domain::Timestamp>("to"), None);
        assert_eq!(query.take::<String>("cursor"), None);
        assert_eq!(refused(query), ["limit", "from", "to", "offset"]);
    }

    #[test]
    fn a_page_has_twenty_entries_unless_asked_for_one_to_a_hundred() {
        for (given, limit) in [(None, 20), (Some("1"), 1), (Some("100"), 100)] {
            let mut query = match given {
                Some(given) => asking(&[("limit", &[given])]),
                None => asking(&[]),
            };
            assert_eq!(query.limit(), limit);
            assert!(refused(query).is_empty());
        }
        for odd in ["0", "101", "-1", "+1", "x", "", "99999999999", "1.0", "\u{661}"] {
            let mut query = asking(&[("limit", &[odd])]);
            query.limit();
            let errors = query.finish().unwrap_err().errors;
            assert_eq!(errors[0].pointer, "limit", "{odd}");
            assert_eq!(errors[0].detail, "must be a whole number from 1 to 100", "{odd}");
        }
    }

    fn sent(content_type: &str, content: impl Into<Body>) -> Result<Input, Problem> {
        let mut request = Request::new(content.into());
        let content_type = HeaderValue::from_str(content_type).unwrap();
        request.headers_mut().insert(header::CONTENT_TYPE, content_type);
        body(&request)
    }

    #[test]
    fn a_body_is_json_and_says_so() {
        let media_types = ["application/json", "Application/JSON; charset=utf-8"];
        for media_type in media_types {
            assert_eq!(sent(media_type, "{}").unwrap(), Input::Object(Vec::new()));
        }
        let others = ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonp"];
        for media_type in others {
            let refused = sent(media_type, "{}").unwrap_err();
            assert_eq!(refused.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{media_type}");
        }
        assert_eq!(body(&Request::default()).unwrap_err().kind, "unsupported-media-type");
    }

    #[test]
    fn what_is_not_well_formed_is_400_and_says_nothing_of_the_inside() {
        let deep = "[".repeat(MAX_BODY);
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert!(sent("application/json", nested(127)).is_ok());
        let nested = nested(128);
        let broken: [&[u8]; 15] = [
            b"",
            b" ",
            b"{",
            b"{} {}",
            b"{\"a\":}",
            b"{'a': 1}",
            b"{\"a\": 1,}",
            b"nul",
            b"NaN",
            b"[01]",
            b"[1e999]",
            b"\"\\ud800\"",
            b"\"\xff\"",
            b"\xef\xbb\xbf{}",
            deep.as_bytes(),
        ];
        for bytes in broken.into_iter().chain([nested.as_bytes()]) {
            let problem = sent("application/json", bytes.to_vec()).unwrap_err();
            let start = String::from_utf8_lossy(&bytes[..bytes.len().min(20)]).into_owned();
            let named = (problem.status, problem.kind);
            assert_eq!(named, (StatusCode::BAD_REQUEST, "malformed-json"), "{start}");
            let detail = problem.detail.unwrap_or_default();
            assert!(detail.len() < 100 && !detail.contains("Input"), "{start}: {detail}");
        }
    }

    #[test]
    fn what_is_not_well_formed_is_told_where_and_in_our_words() {
        let deep = format!("{{\"a\": {}", "[".repeat(127));
        let cases: [(&[u8], &str); 9] = [
            (b" \n", "It is empty: send one JSON object."),
            (b"\xef\xbb\xbf{}", "It begins with a byte order mark: leave it out."),
            (b"{\"a\": \"Caf\xe9\"}", "It is not UTF-8 from byte 10 on, counted from 0."),
            (b"{\"a\": \"\xed\xa0\x80\"}", "It is not UTF-8 from byte 7 on, counted from 0."),
            (deep.as_bytes(), "Its lists and objects are more than 127 levels deep."),
            (b"{\"a\":", "It breaks off at line 1, column 5."),
            (b"{\n  'a': 1}", "line 2, column 3"),
            (b"{\"a\": 1e999}", "is a number that does not fit a double."),
            (b"{\"[[\": \"\\\"[[\" x", "is not JSON there"),
        ];
        for (bytes, words) in cases {
            let detail = sent("application/json", bytes.to_vec()).unwrap_err().detail.unwrap();
            assert!(detail.contains(words), "{detail}");
        }
    }

    proptest! {
        /// Words from the messages of serde_json, the standard library, `uuid` and `time` about a text that they cannot
        /// read.
        #[test]
        fn no_words_of_a_library_reach_a_caller(text in "[-+0-9a-zA-Z. :{}\\[\\]\",\u{e9}]{0,20}") {
            let names = ["limit", "flag", "from", "order", "sku", "customer", "status", "state"];
            let given = [text.as_str()];
            let mut query = asking(&names.map(|name| (name, &given[..])));
            query.limit();
            query.boolean("flag");
            query.take::<trackops_domain::Timestamp>("from");
            query.take::<trackops_domain::OrderId>("order");
            query.take::<trackops_domain::Sku>("sku");
            query.take::<trackops_domain::CustomerId>("customer");
            query.take::<trackops_domain::order::OrderStatus>("status");
            query.take::<trackops_domain::reservation::ReservationState>("state");
            let errors = query.finish().err().map(|problem| problem.errors).unwrap_or_default();
            for error in errors {
                prop_assert!(error.detail.starts_with("must "), "{}: {}", error.pointer, error.detail);
            }
            if let Err(problem) = sent("application/json", text) {
                let detail = problem.detail.unwrap();
                let ours = ["It is ", "It breaks off at line ", "What ends at line "];
                prop_assert!(ours.iter().any(|start| detail.starts_with(start)), "{}", detail);
            }
        }
    }

    #[test]
    fn a_body_has_64_kib_at_most_as_bytes_of_whatever_encoding_the_gateway_chose() {
        let text = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
        for (bytes, outcome) in [(MAX_BODY, Ok(())), (MAX_BODY + 1, Err(413))] {
            for body in [Body::Text(text(bytes)), Body::Binary(text(bytes).into_bytes())] {
                let sent = sent("application/json", body);
                let status = sent.map(drop).map_err(|problem| problem.status.as_u16());
                assert_eq!(status, outcome, "{bytes}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_reading_a_body_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Err(problem) = sent("application/json", bytes) {
                prop_assert_eq!(problem.status, StatusCode::BAD_REQUEST);
            }
        }
    }

    fn with_header(name: &'static str, values: &[&str]) -> Request {
        let mut request = Request::default();
        for value in values {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            request.headers_mut().append(name, value);
        }
        request
    }

    #[tokio::test]
    async fn every_line_that_a_request_logs_carries_its_correlation_id() {
        let test = "http::tests::every_line_that_a_request_logs_carries_its_correlation_id";
        let Some((log, _on)) = Log::alone(test) else { return };
        let handler = |_, _| async {
            tracing::warn!("on the way");
            Err(Problem::busy("the table is busy"))
        };
        let mut request = Request::default();
        request.headers_mut().insert(CORRELATION_ID, HeaderValue::from_static("j1"));
        answer(&Cors::from_env().unwrap(), &handler, request).await.unwrap();
        tracing::info!("after it");
        let lines: Vec<_> = log.lines();
        let of = |line: &Value| (line["message"].clone(), line["span"]["correlation_id"].clone());
        let expected =
            ["on the way", "request failed", "request"].map(|it| (it.into(), "j1".into()));
        assert_eq!(lines[..3].iter().map(of).collect::<Vec<_>>(), expected);
        assert!(lines[3]["span"].is_null(), "{}", lines[3]);
    }

    #[test]
    fn only_a_sane_correlation_id_and_a_traceparent_are_carried_on() {
        let carried = |name, value: &str| {
            let cause = cause(with_header(name, &[value]).headers());
            (cause.correlation_id == value, cause.traceparent.as_deref() == Some(value))
        };
        for sane in ["order-7_a.b:c", &"x".repeat(128)] {
            assert!(carried("x-correlation-id", sane).0, "{sane}");
        }
        for odd in ["", "a b", "a/b", "\u{e9}", "{\"$ne\":1}", &"x".repeat(129)] {
            assert!(!carried("x-correlation-id", odd).0, "{odd}");
        }
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert!(carried("traceparent", trace).1);
        let without_trace = format!("00-{}-b7ad6b7169203331-01", "0".repeat(32));
        let without_parent = format!("00-0af7651916cd43dd8448eb211c80319c-{}-01", "0".repeat(16));
        let versions = ["01", "ff", "0", "000"].map(|version| trace.replacen("00", version, 1));
        let lengths = ["00-0", "00-0a0", "00-"].map(|start| trace.replacen("00-0a", start, 1));
        let others = [trace.replace('a', "A"), trace.replace("-01", "-1"), format!("{trace}-00")];
        let dashes = "-".repeat(55);
        let zeros = [without_trace, without_parent, dashes, String::new()];
        for odd in zeros.iter().chain(&versions).chain(&lengths).chain(&others) {
            assert!(!carried("traceparent", odd).1, "{odd}");
        }
        // Nobody knows which of two values is right.
        let other = trace.replace("0af7", "0af8");
        let twice = with_header("traceparent", &[trace, &other]);
        assert_eq!(cause(twice.headers()).traceparent, None);
    }

    #[test]
    fn an_endpoint_without_parameters_takes_none() {
        takes_no_parameters(&Request::default()).unwrap();
        let query = HashMap::from([("dryRun".to_owned(), vec!["true".to_owned()])]);
        let request = Request::default().with_query_string_parameters(query);
        assert_eq!(takes_no_parameters(&request).unwrap_err().errors[0].pointer, "dryRun");
    }

    #[test]
    fn what_has_no_version_has_another_tag_only_when_it_is_different() {
        let tag = |body: &str| tagged(json(StatusCode::OK, &body)).headers()[header::ETAG].clone();
        assert_eq!(tag("one"), tag("one"));
        assert_ne!(tag("one"), tag("other"));
    }

    #[tokio::test]
    async fn whatever_is_read_is_read_under_the_conditions_that_came_with_it() {
        let cors = Cors::from_env().unwrap();
        let status = async |method: Method, name: &'static str, tag: &'static str| {
            let handler = async |_: Request, _: Cause| Ok(versioned(StatusCode::OK, 3, &"body"));
            let handler = |request, cause| handler(request, cause);
            let mut request = with_header(name, &[tag]);
            *request.method_mut() = method;
            answer(&cors, &handler, request).await.unwrap().status().as_u16()
        };
        for method in [Method::GET, Method::HEAD] {
            assert_eq!(status(method.clone(), "if-none-match", "\"3\"").await, 304);
            assert_eq!(status(method.clone(), "if-match", "\"2\"").await, 412);
            assert_eq!(status(method, "if-match", "\"3\"").await, 200);
        }
        // Handlers that change something check the conditions themselves, before they do.
        assert_eq!(status(Method::DELETE, "if-match", "\"2\"").await, 200);
    }

    #[test]
    fn conditions_of_a_change_without_a_version_are_refused_and_not_passed_over() {
        for name in ["if-match", "if-none-match"] {
            let mut request = with_header(name, &["*"]);
            must_be_none(&request).unwrap();
            *request.method_mut() = Method::POST;
            let refused = must_be_none(&request).unwrap_err();
            assert_eq!(refused.errors[0].pointer.to_lowercase(), name);
        }
    }

    #[tokio::test]
    async fn head_gets_the_headers_of_get_and_no_body_also_of_a_problem() {
        let cors = Cors::from_env().unwrap();
        let handler = async |request: Request, _: Cause| match request.uri().path() {
            "/known" => Ok(versioned(StatusCode::OK, 3, &"body")),
            "/large" => Ok(json(StatusCode::OK, &"x".repeat(COMPRESSED_FROM))),
            _ => Err(Problem::order_not_found()),
        };
        let handler = |request, cause| handler(request, cause);
        for (path, length) in [("/known", true), ("/large", false), ("/unknown", true)] {
            let asked = |method: Method| {
                let mut request = with_header("x-correlation-id", &["j1"]);
                (*request.method_mut(), *request.uri_mut()) = (method, path.parse().unwrap());
                request
            };
            let got = answer(&cors, &handler, asked(Method::GET)).await.unwrap();
            let mut head = answer(&cors, &handler, asked(Method::HEAD)).await.unwrap();
            assert!(matches!(head.body(), Body::Empty), "{path}");
            let told = head.headers_mut().remove(header::CONTENT_LENGTH);
            assert_eq!(told, length.then(|| HeaderValue::from(got.body().len())), "{path}");
            assert_eq!((head.status(), head.headers()), (got.status(), got.headers()), "{path}");
        }
    }

    #[tokio::test]
    async fn an_answer_is_not_kept_unless_it_says_so() {
        let cors = Cors::from_env().unwrap();
        for (kept, policy) in [(false, "no-store"), (true, "private, no-cache")] {
            let handler = async |_: Request, _: Cause| {
                let response = json(StatusCode::OK, &"body");
                Ok(if kept { kept_by_caller(response) } else { response })
            };
            let handler = |request, cause| handler(request, cause);
            let answer = answer(&cors, &handler, Request::default()).await.unwrap();
            assert_eq!(answer.headers()[header::CACHE_CONTROL], policy);
        }
    }
}
