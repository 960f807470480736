//! Refuses what a web page of another origin sends to the runner's ports. `cloud/guard.py` does the same for the
//! cloud's, and says why; `cloud/guard_cases.json` is tested against both.

use hyper::header::{AsHeaderName, HOST, HeaderMap, ORIGIN};

const NO_HOST_OF_OURS: &str = "The Host header was refused: it must be 127.0.0.1, [::1], localhost or a name that \
    ends in .localhost, because a web page can make any other name lead to this machine.";
const FOREIGN_ORIGIN: &str = "The Origin header was refused: a web page of another origin may not use the local \
    cloud. Only the origin of the parameter CorsOrigin may call the APIs.";
const FOREIGN_SITE: &str = "The Sec-Fetch-Site header was refused: a web page of another site or port made this \
    request. Type the address, or paste it, instead of following a link.";

/// Why a request with these headers is refused. `may_call` says of an origin whether the user lets its pages call what
/// is asked.
///
/// # Errors
/// With the reason, one or two sentences for people.
pub fn check(headers: &HeaderMap, may_call: impl FnOnce(&str) -> bool) -> Result<(), &'static str> {
    let hosts = values(headers, HOST);
    let [host] = &hosts[..] else { return Err(NO_HOST_OF_OURS) };
    if !is_loopback(host) {
        return Err(NO_HOST_OF_OURS);
    }
    let origins = values(headers, ORIGIN);
    if let [origin] = &origins[..]
        && may_call(origin)
    {
        return Ok(());
    }
    if origins.iter().any(|origin| *origin != format!("http://{host}")) {
        return Err(FOREIGN_ORIGIN);
    }
    let sites = values(headers, "sec-fetch-site");
    if sites.iter().any(|site| !["none", "same-origin"].contains(&site.as_str())) {
        return Err(FOREIGN_SITE);
    }
    Ok(())
}

/// In lower case; one that is no text becomes one that nothing equals.
fn values(headers: &HeaderMap, name: impl AsHeaderName) -> Vec<String> {
    let text = |value: &[u8]| String::from_utf8_lossy(value).trim().to_ascii_lowercase();
    headers.get_all(name).iter().map(|value| text(value.as_bytes())).collect()
}

/// Whether a Host header, in lower case, is a name that no DNS server is asked for.
fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !host.ends_with(']') => {
            if port.is_empty() || !port.bytes().all(|digit| digit.is_ascii_digit()) {
                return false;
            }
            name
        }
        _ => host,
    };
    ["127.0.0.1", "[::1]", "localhost"].contains(&name) || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderName, HeaderValue};
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Table {
        may_call: String,
        cases: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        is: String,
        headers: Vec<(String, String)>,
        refused: Option<String>,
    }

    #[test]
    fn the_headers_of_pages_are_told_from_those_of_programs() {
        let table: Table = serde_json::from_str(include_str!("../cloud/guard_cases.json")).unwrap();
        for case in table.cases {
            let mut headers = HeaderMap::new();
            for (name, value) in &case.headers {
                let name: HeaderName = name.parse().unwrap();
                headers.append(name, HeaderValue::from_str(value).unwrap());
            }
            let reason = check(&headers, |origin| origin == table.may_call).err();
            let named = reason.map(|reason| reason.split_whitespace().nth(1).unwrap().to_owned());
            assert_eq!(named, case.refused, "{}", case.is);
        }
    }

    #[test]
    fn the_cloud_says_the_same_to_those_it_refuses() {
        let cloud = include_str!("../cloud/guard.py");
        let cloud = cloud.replace("\"\n    \"", "");
        for reason in [NO_HOST_OF_OURS, FOREIGN_ORIGIN, FOREIGN_SITE] {
            assert!(cloud.contains(reason), "guard.py does not say: {reason}");
        }
    }
}
