//! The documents of the HTTP APIs, and the function that serves one with a page to read it.

use lambda_http::http::{HeaderValue, header};
use lambda_http::{Body, Request, RequestExt, Response};
use trackops_lambda::Error;
use trackops_lambda::http::{Answer, serve_public};
use trackops_lambda::problem::Problem;

/// Everything comes from this API. The page may not run or load anything else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Our own files may change with every deployment; Swagger UI changes seldom.
const MINUTES: &str = "public, max-age=300";
const A_DAY: &str = "public, max-age=86400";

/// A file that is served as it was built.
struct File {
    content: &'static str,
    etag: &'static str,
    media_type: &'static str,
    cache: &'static str,
}

macro_rules! built {
    ($name:expr, $media_type:literal, $cache:expr) => {
        File {
            content: include_str!(concat!(env!("OUT_DIR"), "/", $name)),
            etag: include_str!(concat!(env!("OUT_DIR"), "/", $name, ".etag")),
            media_type: $media_type,
            cache: $cache,
        }
    };
}

/// The OpenAPI document of a service, and the page that shows it.
pub struct Docs {
    document: File,
    page: File,
}

macro_rules! docs {
    ($service:literal) => {
        Docs {
            document: built!(concat!($service, ".json"), "application/json", MINUTES),
            page: built!(concat!($service, ".html"), "text/html; charset=utf-8", MINUTES),
        }
    };
}

pub const ORDERS: Docs = docs!("orders");
pub const INVENTORY: Docs = docs!("inventory");
pub const PAYMENTS: Docs = docs!("payments");
pub const RELAY: Docs = docs!("relay");

impl Docs {
    /// The document, OpenAPI 3.1 in JSON.
    pub const fn json(&self) -> &'static str {
        self.document.content
    }

    /// Serves `/api/openapi.json`, `/api/docs` and the parts of that page, without a token.
    ///
    /// # Errors
    /// Those of the Lambda runtime.
    pub async fn serve(self) -> Result<(), Error> {
        serve_public(async |request, _| self.answer(&request)).await
    }

    fn answer(&self, request: &Request) -> Answer {
        // API Gateway has checked the path; only its last part matters here.
        let file = match request.raw_http_path().rsplit('/').next() {
            Some("openapi.json") => &self.document,
            Some("docs") => &self.page,
            Some("start.js") => &built!("start.js", "text/javascript; charset=utf-8", MINUTES),
            Some("swagger-ui.js") => {
                &built!("swagger-ui.js", "text/javascript; charset=utf-8", A_DAY)
            }
            Some("swagger-ui.css") => &built!("swagger-ui.css", "text/css; charset=utf-8", A_DAY),
            _ => return Err(Problem::not_found("not-found", "There is no such file.")),
        };
        Ok(file.answer())
    }
}

impl File {
    fn answer(&self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.content));
        let headers = response.headers_mut();
        for (name, value) in [
            (header::CONTENT_TYPE, self.media_type),
            (header::ETAG, self.etag),
            (header::CACHE_CONTROL, self.cache),
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use lambda_http::http::StatusCode;
    use serde_json::Value;

    use super::*;

    fn get(path: &str) -> Answer {
        ORDERS.answer(&Request::default().with_raw_http_path(path))
    }

    #[test]
    fn what_the_page_needs_is_served_behind_any_prefix_and_nothing_else() {
        for prefix in ["/api", "/v1/api"] {
            for path in ["docs", "openapi.json"] {
                assert!(get(&format!("{prefix}/{path}")).is_ok(), "{prefix}/{path}");
            }
            let page = ORDERS.page.content;
            let parts = page.split('"').filter(|text| text.starts_with("docs/"));
            assert_eq!(parts.clone().count(), 3);
            for part in parts {
                assert!(get(&format!("{prefix}/{part}")).is_ok(), "{prefix}/{part}");
            }
        }
        assert_eq!(get("/api/docs/page.html").unwrap_err().status, StatusCode::NOT_FOUND);
    }

    #[test]
    fn a_file_has_a_tag_by_which_who_has_it_is_known() {
        for path in ["/api/docs", "/api/docs/swagger-ui.js"] {
            let response = get(path).unwrap();
            assert!(!response.body().is_empty());
            assert_eq!(
                response.headers()[header::ETAG],
                get(path).unwrap().headers()[header::ETAG]
            );
        }
        let tag = |path| get(path).unwrap().headers()[header::ETAG].clone();
        assert_ne!(tag("/api/docs"), tag("/api/docs/swagger-ui.js"));
    }

    #[test]
    fn a_document_is_self_contained_and_has_what_all_share() {
        for docs in [ORDERS, INVENTORY, PAYMENTS, RELAY] {
            let document: Value = serde_json::from_str(docs.json()).unwrap();
            assert_eq!(document["openapi"], "3.1.0");
            let mut references = Vec::new();
            find_references(&document, &mut references);
            for reference in references {
                let pointer = reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference}"));
                assert!(document.pointer(pointer).is_some(), "nothing is at {reference}");
            }
            for (path, operations) in document["paths"].as_object().unwrap() {
                let operations = operations.as_object().unwrap().iter();
                for (method, operation) in operations.filter(|(method, _)| *method != "parameters")
                {
                    assert!(operation["responses"]["500"].is_object(), "{method} {path}");
                }
            }
        }
    }

    /// `openapi-python-client` leaves out every answer whose schema narrows a string with `const`.
    #[test]
    fn a_single_value_is_an_enum_of_a_named_type_which_all_generators_know() {
        for docs in [ORDERS, INVENTORY, PAYMENTS, RELAY] {
            let document: Value = serde_json::from_str(docs.json()).unwrap();
            let mut open = vec![&document];
            while let Some(value) = open.pop() {
                if let Value::Object(object) = value {
                    assert!(!object.contains_key("const"), "const in {value}");
                    let values = object.get("enum").filter(|values| values.is_array());
                    let strings = values.is_some_and(|values| values[0].is_string());
                    assert!(
                        !strings || object.get("type").is_some(),
                        "an enum without type: {value}"
                    );
                }
                match value {
                    // Data and no schema.
                    Value::Object(object) => open.extend(
                        object.iter().filter(|(key, _)| *key != "examples").map(|(_, value)| value),
                    ),
                    Value::Array(values) => open.extend(values),
                    _ => {}
                }
            }
        }
    }

    #[test]
    fn a_problem_that_operations_share_has_one_name() {
        for docs in [ORDERS, INVENTORY, PAYMENTS, RELAY] {
            let document: Value = serde_json::from_str(docs.json()).unwrap();
            for (name, response) in document["components"]["responses"].as_object().unwrap() {
                let schema = &response["content"]["application/problem+json"]["schema"];
                assert!(schema.is_null() || schema["$ref"].is_string(), "{name}: {schema}");
            }
        }
    }

    #[test]
    fn an_object_of_a_request_says_whether_it_may_have_more_fields() {
        for docs in [ORDERS, INVENTORY, PAYMENTS, RELAY] {
            let document: Value = serde_json::from_str(docs.json()).unwrap();
            let paths = document["paths"].as_object().unwrap().values();
            let operations = paths.flat_map(|path| path.as_object().unwrap().values());
            let bodies = operations.map(|operation| {
                &operation["requestBody"]["content"]["application/json"]["schema"]
            });
            for body in bodies {
                assert_eq!(silent(&document, body), Vec::<&Value>::new());
            }
        }
    }

    /// The objects in a schema that do not say it.
    fn silent<'a>(document: &'a Value, schema: &'a Value) -> Vec<&'a Value> {
        let (mut found, mut open) = (Vec::new(), vec![schema]);
        while let Some(value) = open.pop() {
            if let Some(reference) = value["$ref"].as_str() {
                open.extend(document.pointer(&reference[1..]));
            }
            if value["properties"].is_object() && value["additionalProperties"].is_null() {
                found.push(value);
            }
            match value {
                Value::Object(object) => open.extend(object.values()),
                Value::Array(values) => open.extend(values),
                _ => {}
            }
        }
        found
    }

    fn find_references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(object) => {
                found.extend(object.get("$ref").and_then(Value::as_str));
                object.values().for_each(|value| find_references(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| find_references(value, found)),
            _ => {}
        }
    }
}
