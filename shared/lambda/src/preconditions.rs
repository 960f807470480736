//! `If-Match` and `If-None-Match`: the conditions of a request on the current version.
//!
//! Source: RFC 9110, section 13. Nothing here has a `Last-Modified`, so `If-Modified-Since` and `If-Unmodified-Since`
//! have no effect (13.1.3, 13.1.4).

use lambda_http::http::{HeaderMap, HeaderName, Method, StatusCode, header};
use lambda_http::{Body, Request, Response};

use crate::problem::Problem;

/// The conditions of a request, in the order in which they count: 13.2.2.
#[derive(Clone, Debug, Default)]
pub struct Preconditions {
    if_match: Option<Tags>,
    if_none_match: Option<Tags>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Tags {
    /// `*`: any version.
    Any,
    These(Vec<Tag>),
}

/// An entity tag: section 8.8.3.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Tag {
    weak: bool,
    /// Between the quotes.
    opaque: Vec<u8>,
}

impl Preconditions {
    pub fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        Ok(Self {
            if_match: tags(headers, &header::IF_MATCH)?,
            if_none_match: tags(headers, &header::IF_NONE_MATCH)?,
        })
    }

    /// Whether a change of a thing with this version may go on; 412 when not.
    pub fn allow(&self, version: u64) -> Result<(), Problem> {
        let version = version.to_string();
        if !self.is_match(Some(version.as_bytes())) {
            return Err(Problem::changed(Some(&version)));
        }
        if self.is_known(Some(version.as_bytes())) {
            return Err(Problem::known(&version));
        }
        Ok(())
    }

    /// The only version that `If-Match` names; `None` when it names no version, or may mean several.
    pub fn one_version(&self) -> Option<u64> {
        let versions: Vec<u64> = self.versions().collect();
        match versions[..] {
            [version] => Some(version),
            _ => None,
        }
    }

    /// The versions that `If-Match` names.
    pub fn versions(&self) -> impl Iterator<Item = u64> {
        let tags = match &self.if_match {
            Some(Tags::These(tags)) => tags.as_slice(),
            Some(Tags::Any) | None => &[],
        };
        tags.iter().filter_map(Tag::version)
    }

    /// The strong comparison: a weak tag equals none.
    fn is_match(&self, current: Option<&[u8]>) -> bool {
        let same = |tag: &Tag| !tag.weak && Some(tag.opaque.as_slice()) == current;
        match &self.if_match {
            None | Some(Tags::Any) => true,
            Some(Tags::These(tags)) => tags.iter().any(same),
        }
    }

    /// The weak comparison: it does not matter which tags are weak.
    fn is_known(&self, current: Option<&[u8]>) -> bool {
        match &self.if_none_match {
            None => false,
            Some(Tags::Any) => true,
            Some(Tags::These(tags)) => {
                tags.iter().any(|tag| Some(tag.opaque.as_slice()) == current)
            }
        }
    }
}

impl Tag {
    /// One spelling per version: neither `"03"` nor `"+3"` is an ETag of ours.
    fn version(&self) -> Option<u64> {
        let digits = std::str::from_utf8(&self.opaque).ok().filter(|_| !self.weak)?;
        let version: u64 = digits.parse().ok()?;
        (version.to_string() == digits).then_some(version)
    }
}

/// The answer to a GET under the conditions of the request: the answer itself, a 304 if the caller has it already, or a
/// 412.
pub(crate) fn answer(headers: &HeaderMap, mut response: Response<Body>) -> Response<Body> {
    // 13.2.1: conditions have no effect on an answer that is not a success.
    if !response.status().is_success() {
        return response;
    }
    let asked = match Preconditions::of(headers) {
        Ok(asked) => asked,
        Err(problem) => return problem.into_response(),
    };
    let tag = response.headers().get(header::ETAG).map(|tag| tag.as_bytes().to_vec());
    let current = tag.as_deref().map(|tag| tag.strip_prefix(b"W/").unwrap_or(tag));
    let current =
        current.map(|tag| tag.strip_prefix(b"\"").and_then(|tag| tag.strip_suffix(b"\"")));
    let current = current.flatten();
    if !asked.is_match(current) {
        let tag = current.map(String::from_utf8_lossy);
        return Problem::changed(tag.as_deref()).into_response();
    }
    if asked.is_known(current) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.body_mut() = Body::Empty;
        response.headers_mut().remove(header::CONTENT_TYPE);
    }
    response
}

/// Refuses conditions where there is no version to compare, rather than ignore them. The conditions of a GET are
/// checked later, with the answer.
pub(crate) fn must_be_none(request: &Request) -> Result<(), Problem> {
    if is_read(request.method()) {
        return Ok(());
    }
    for name in [header::IF_MATCH, header::IF_NONE_MATCH] {
        if request.headers().contains_key(&name) {
            let detail = "must be left out: this endpoint has no version to compare it with";
            return Err(Problem::field(spelled(&name), detail));
        }
    }
    Ok(())
}

pub(crate) fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

fn spelled(name: &HeaderName) -> &'static str {
    if *name == header::IF_MATCH { "If-Match" } else { "If-None-Match" }
}

/// A header that comes several times is one list: section 5.3.
fn tags(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Tags>, Problem> {
    let mut lines = headers.get_all(name).iter().peekable();
    if lines.peek().is_none() {
        return Ok(None);
    }
    let text = lines.map(|line| line.as_bytes()).collect::<Vec<_>>().join(&b", "[..]);
    parsed(&text).map(Some).ok_or_else(|| {
        let detail = "must be the ETag of an earlier answer, such as \"3\", several, or *";
        Problem::field(spelled(name), detail)
    })
}

/// `"*" / #entity-tag`. Empty elements of a list are ignored: section 5.6.1.
fn parsed(text: &[u8]) -> Option<Tags> {
    let text = text.trim_ascii();
    if text == b"*" {
        return Some(Tags::Any);
    }
    let (mut tags, mut left) = (Vec::new(), text);
    loop {
        left = left.trim_ascii_start();
        if let Some(rest) = left.strip_prefix(b",") {
            left = rest;
            continue;
        }
        if left.is_empty() {
            break;
        }
        let (weak, quoted) = match left.strip_prefix(b"W/") {
            Some(quoted) => (true, quoted),
            None => (false, left),
        };
        let quoted = quoted.strip_prefix(b"\"")?;
        let end = quoted.iter().position(|byte| *byte == b'"')?;
        let opaque = &quoted[..end];
        if !opaque.iter().all(|byte| matches!(byte, 0x21 | 0x23..=0x7e | 0x80..)) {
            return None;
        }
        tags.push(Tag { weak, opaque: opaque.to_vec() });
        left = quoted[end + 1..].trim_ascii_start();
        if !left.is_empty() && !left.starts_with(b",") {
            return None;
        }
    }
    if tags.is_empty() { None } else { Some(Tags::These(tags)) }
}

#[cfg(test)]
mod tests {
    use lambda_http::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn headers(given: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    /// A change of a thing with version 3.
    fn changing(given: &[(&'static str, &str)]) -> Result<(), (u16, &'static str)> {
        let asked = Preconditions::of(&headers(given));
        let allowed = asked.and_then(|asked| asked.allow(3));
        allowed.map_err(|problem| (problem.status.as_u16(), problem.kind))
    }

    #[test]
    fn a_change_is_made_to_a_version_that_was_asked_for_and_to_no_other() {
        let same = [
            "\"3\"",
            " \"3\" ",
            "\"2\", \"3\"",
            "\"2\",\"3\"",
            ",, \"3\" ,",
            "*",
            "W/\"3\", \"3\"",
        ];
        for tags in same {
            assert_eq!(changing(&[("if-match", tags)]), Ok(()), "{tags}");
        }
        assert_eq!(changing(&[("if-match", "\"2\""), ("if-match", "\"3\"")]), Ok(()));
        // Weak tags never match: 13.1.1.
        let other =
            ["\"2\"", "W/\"3\"", "\"03\"", "\"+3\"", "\"\"", "\"\u{e9}\"", "\"1\", \"2\"", "\"*\""];
        for tags in other {
            assert_eq!(changing(&[("if-match", tags)]), Err((412, "changed")), "{tags}");
        }
    }

    #[test]
    fn a_change_is_not_made_to_a_version_that_is_ruled_out() {
        for tags in ["\"3\"", "W/\"3\"", "\"2\", W/\"3\"", "*"] {
            assert_eq!(changing(&[("if-none-match", tags)]), Err((412, "known")), "{tags}");
        }
        for tags in ["\"2\"", "\"33\"", "W/\"2\", \"4\""] {
            assert_eq!(changing(&[("if-none-match", tags)]), Ok(()), "{tags}");
        }
        let both = |if_match| changing(&[("if-match", if_match), ("if-none-match", "*")]);
        assert_eq!((both("\"3\""), both("\"2\"")), (Err((412, "known")), Err((412, "changed"))));
    }

    #[test]
    fn what_is_no_list_of_tags_is_refused_with_what_to_send() {
        let odd = [
            "",
            " ",
            ",",
            "3",
            "\"3",
            "3\"",
            "w/\"3\"",
            "W/ \"3\"",
            "\"3\" \"4\"",
            "*, \"3\"",
            "\"a b\"",
        ];
        for name in ["if-match", "if-none-match"] {
            for tags in odd {
                let refused = Preconditions::of(&headers(&[(name, tags)])).unwrap_err();
                assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{tags}");
                assert_eq!(refused.errors[0].pointer.to_lowercase(), name, "{tags}");
            }
        }
    }

    fn read(given: &[(&'static str, &str)], tag: Option<&'static str>) -> Response<Body> {
        let mut response = crate::http::json(StatusCode::OK, &"body");
        if let Some(tag) = tag {
            response.headers_mut().insert(header::ETAG, HeaderValue::from_static(tag));
        }
        answer(&headers(given), response)
    }

    #[test]
    fn what_the_caller_has_is_not_sent_again_and_what_is_not_as_asked_for_is_a_412() {
        for tag in ["\"3\"", "W/\"3\"", "\"2\", \"3\"", "*"] {
            let answer = read(&[("if-none-match", tag)], Some("\"3\""));
            assert_eq!(answer.status(), StatusCode::NOT_MODIFIED, "{tag}");
            assert_eq!(answer.headers()[header::ETAG], "\"3\"");
            assert!(matches!(answer.body(), Body::Empty));
        }
        for tag in ["\"2\"", "\"33\""] {
            assert_eq!(read(&[("if-none-match", tag)], Some("\"3\"")).status(), StatusCode::OK);
        }
        assert_eq!(read(&[], Some("\"3\"")).status(), StatusCode::OK);
        let both = [("if-match", "\"2\""), ("if-none-match", "\"3\"")];
        assert_eq!(read(&both, Some("\"3\"")).status(), StatusCode::PRECONDITION_FAILED);
        let both = [("if-match", "\"3\""), ("if-none-match", "\"3\"")];
        assert_eq!(read(&both, Some("\"3\"")).status(), StatusCode::NOT_MODIFIED);
        assert_eq!(read(&[("if-none-match", "3")], Some("\"3\"")).status().as_u16(), 422);
    }

    #[test]
    fn what_has_no_tag_equals_none_and_what_failed_is_answered_as_it_is() {
        assert_eq!(read(&[("if-match", "\"\"")], None).status(), StatusCode::PRECONDITION_FAILED);
        assert_eq!(read(&[("if-match", "*")], None).status(), StatusCode::OK);
        assert_eq!(read(&[("if-none-match", "\"\"")], None).status(), StatusCode::OK);
        let missing = Problem::order_not_found().into_response();
        let answer = answer(&headers(&[("if-match", "odd"), ("if-none-match", "*")]), missing);
        assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    }

    #[test]
    fn the_versions_that_are_asked_for_are_those_of_strong_tags() {
        let asked = |tags| Preconditions::of(&headers(&[("if-match", tags)])).unwrap();
        assert_eq!(asked("\"3\"").one_version(), Some(3));
        assert_eq!(asked("W/\"3\"").one_version(), None);
        assert_eq!(asked("\"3\", \"4\"").one_version(), None);
        assert_eq!(asked("\"3\", W/\"4\", \"05\", \"6\"").versions().collect::<Vec<_>>(), [3, 6]);
        assert_eq!(Preconditions::default().one_version(), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_reading_tags_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            parsed(&bytes);
        }

        #[test]
        fn every_list_of_tags_is_read_back(
            tags in prop::collection::vec((any::<bool>(), "[!#-~]{0,6}"), 1..5)
        ) {
            let spelled = |(weak, opaque): &(bool, String)| {
                format!("{}\"{opaque}\"", if *weak { "W/" } else { "" })
            };
            let text = tags.iter().map(spelled).collect::<Vec<_>>().join(" , ");
            let tags = tags.into_iter().map(|(weak, opaque)| Tag { weak, opaque: opaque.into() });
            prop_assert_eq!(parsed(text.as_bytes()), Some(Tags::These(tags.collect())));
        }
    }
}
