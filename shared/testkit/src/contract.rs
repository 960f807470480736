//! Compares the answers of the services, and the requests that they accept, with their OpenAPI documents.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use jsonschema::{Registry, Validator};
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use trackops_openapi::{INVENTORY, ORDERS, PAYMENTS, RELAY};

use crate::System;

/// Headers that HTTP itself adds to an answer; API Gateway adds `x-amz...`.
const OF_TRANSPORT: [&str; 6] =
    ["connection", "content-length", "content-type", "date", "server", "transfer-encoding"];

static DOCUMENTS: LazyLock<[Document; 4]> = LazyLock::new(|| {
    [("orders", ORDERS), ("inventory", INVENTORY), ("payments", PAYMENTS), ("relay", RELAY)]
        .map(|(service, docs)| Document::read(service, docs.json()))
});

/// The OpenAPI document of a service. Objects of answers are closed in it: a field that it does not name is an error.
pub struct Document {
    pub service: &'static str,
    pub json: Value,
    registry: Registry<'static>,
    /// By the address of the schema in `json`, which never moves.
    validators: Mutex<HashMap<usize, Arc<Validator>>>,
}

/// An operation of a document.
pub struct Operation {
    pub document: &'static Document,
    pub method: Method,
    pub path: &'static str,
    pub json: &'static Value,
    pub parameters: Vec<&'static Value>,
}

impl Document {
    pub fn all() -> &'static [Self] {
        &*DOCUMENTS
    }

    fn read(service: &'static str, text: &str) -> Self {
        let name = format!("urn:trackops:{service}");
        // References name their document, so that every schema in it can be used alone.
        let text = text.replace("\"#/", &format!("\"{name}#/"));
        let mut json: Value = serde_json::from_str(&text).expect("a document is JSON");
        close(&mut json);
        let registry = Registry::new()
            .add(name, json.clone())
            .and_then(|builder| builder.prepare())
            .unwrap_or_else(|error| panic!("the document of {service}: {error}"));
        Self { service, json, registry, validators: Mutex::default() }
    }

    /// The value, or the value that it refers to.
    pub fn resolve<'a>(&'a self, value: &'a Value) -> &'a Value {
        let Some(reference) = value["$ref"].as_str() else { return value };
        let pointer = reference.split_once('#').map_or("", |(_, pointer)| pointer);
        let there = self.json.pointer(pointer);
        self.resolve(there.unwrap_or_else(|| panic!("{} has no {reference}", self.service)))
    }

    /// The entries of a mapping in `value`, each resolved.
    pub fn parts<'a>(
        &'a self,
        value: &'a Value,
        mapping: &str,
    ) -> impl Iterator<Item = (&'a str, &'a Value)> {
        let entries = value[mapping].as_object().into_iter().flatten();
        entries.map(|(name, value)| (&**name, self.resolve(value)))
    }

    pub fn operations(&'static self) -> Vec<Operation> {
        let mut operations = Vec::new();
        for (path, all) in self.json["paths"].as_object().into_iter().flatten() {
            let shared = all["parameters"].as_array().into_iter().flatten();
            for (method, json) in all.as_object().into_iter().flatten() {
                let Ok(method) = Method::from_bytes(method.to_uppercase().as_bytes()) else {
                    continue;
                };
                if method.as_str() == "PARAMETERS" {
                    continue;
                }
                let own = json["parameters"].as_array().into_iter().flatten();
                let parameters = shared.clone().chain(own).map(|it| self.resolve(it)).collect();
                operations.push(Operation { document: self, method, path, json, parameters });
            }
        }
        operations
    }

    /// # Errors
    /// What is wrong with the value.
    pub fn validate(&self, schema: &Value, value: &Value) -> Result<(), String> {
        let key = std::ptr::from_ref(schema) as usize;
        let mut validators = self.validators.lock().unwrap_or_else(PoisonError::into_inner);
        let validator = validators.entry(key).or_insert_with(|| {
            let options = jsonschema::options().should_validate_formats(true);
            let built = options.with_registry(&self.registry).build(schema);
            Arc::new(built.unwrap_or_else(|error| panic!("{error} in {schema}")))
        });
        let validator = Arc::clone(validator);
        drop(validators);
        let wrong: Vec<_> = validator
            .iter_errors(value)
            .map(|error| format!("{} at {:?}", error, error.instance_path().as_str()))
            .collect();
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
    }
}

/// Forbids fields that an object's schema does not name, unless the schema allows them.
fn close(value: &mut Value) {
    match value {
        Value::Object(object) => {
            let open = object.get("type") == Some(&json!("object"))
                && object.contains_key("properties")
                && !object.contains_key("additionalProperties");
            if open {
                object.insert("additionalProperties".into(), json!(false));
            }
            object.values_mut().for_each(close);
        }
        Value::Array(values) => values.iter_mut().for_each(close),
        _ => {}
    }
}

/// # Errors
/// What the document does not allow, in the answer or in a request that was accepted.
pub(crate) fn check(
    system: &System,
    request: &reqwest::Request,
    status: StatusCode,
    headers: &HeaderMap,
    body: &str,
) -> Result<(), String> {
    let bases = [&system.orders, &system.inventory, &system.payments, &system.relay];
    let asked = bases.into_iter().zip(Document::all()).find_map(|(base, document)| {
        let rest = request.url().as_str().strip_prefix(&**base)?;
        rest.starts_with('/').then_some((rest, document))
    });
    // Any other address is not one of our APIs.
    let Some((rest, document)) = asked else { return Ok(()) };
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    let mut operations = document.operations().into_iter();
    let operation =
        operations.find(|it| it.method == *request.method() && it.segments(path).is_some());
    let Some(operation) = operation else {
        // Answers of the fallback and of API Gateway where there is no endpoint.
        return match status.as_u16() {
            403..=405 => Ok(()),
            204 if request.method() == Method::OPTIONS => Ok(()),
            _ => Err(format!("{} {path} is answered, but is not documented", request.method())),
        };
    };
    operation.check_answer(status, headers, body)?;
    if status.as_u16() < 400 {
        operation.check_request(request, path)?;
    }
    Ok(())
}

impl Operation {
    pub fn id(&self) -> &'static str {
        self.json["operationId"].as_str().expect("an operation has an id")
    }

    /// The values of the path's placeholders, if `path` belongs to this operation.
    fn segments(&self, path: &str) -> Option<Vec<(&str, String)>> {
        let (own, given): (Vec<_>, Vec<_>) =
            (self.path.split('/').collect(), path.split('/').collect());
        let mut found = Vec::new();
        if own.len() != given.len() {
            return None;
        }
        for (own, given) in own.into_iter().zip(given) {
            match own.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
                Some(name) if !given.is_empty() => found.push((name, decoded(given))),
                None if own == given => {}
                _ => return None,
            }
        }
        Some(found)
    }

    pub fn response(&self, status: StatusCode) -> Option<&'static Value> {
        let response = self.json["responses"].get(status.as_str())?;
        Some(self.document.resolve(response))
    }

    /// # Errors
    /// What is not as documented.
    fn check_answer(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        body: &str,
    ) -> Result<(), String> {
        let response = self.response(status);
        let response = response.ok_or_else(|| format!("{status} is not documented"))?;
        let mut names = Vec::new();
        for (name, header) in self.document.parts(response, "headers") {
            names.push(name.to_lowercase());
            match headers.get(name).map(|value| value.to_str().unwrap_or_default()) {
                None if header["required"] == true => return Err(format!("{name} is missing")),
                None => {}
                Some(value) => self
                    .document
                    .validate(&header["schema"], &json!(value))
                    .map_err(|wrong| format!("header {name}: {wrong}"))?,
            }
        }
        for name in headers.keys().map(|name| name.as_str()) {
            let of_transport = OF_TRANSPORT.contains(&name) || name.starts_with("x-amz");
            if !of_transport && !names.iter().any(|documented| documented == name) {
                return Err(format!("header {name} of a {status} is not documented"));
            }
        }
        let content = response["content"].as_object();
        let Some(content) = content else {
            let nothing = body.is_empty();
            return if nothing { Ok(()) } else { Err(format!("a {status} has no body")) };
        };
        let media_type = media_type(headers);
        let content = content.get(&media_type);
        let content =
            content.ok_or_else(|| format!("{media_type:?} of a {status} is not documented"))?;
        let value = if media_type.ends_with("json") {
            serde_json::from_str(body).map_err(|error| format!("the body is no JSON: {error}"))?
        } else {
            json!(body)
        };
        self.document.validate(&content["schema"], &value)
    }

    /// # Errors
    /// What should have been refused.
    fn check_request(&self, request: &reqwest::Request, path: &str) -> Result<(), String> {
        let segments = self.segments(path).unwrap_or_default();
        let query: Vec<_> = request.url().query_pairs().collect();
        for parameter in &self.parameters {
            let name = parameter["name"].as_str().unwrap_or_default();
            let header = || Some(request.headers().get(name)?.to_str().ok()?.to_owned());
            let value = match parameter["in"].as_str() {
                Some("path") => segments.iter().find(|it| it.0 == name).map(|it| it.1.clone()),
                Some("query") => query.iter().find(|it| it.0 == name).map(|it| it.1.to_string()),
                _ => header(),
            };
            match value {
                None if parameter["required"] == true => {
                    return Err(format!("it was accepted without {name}"));
                }
                None => {}
                Some(value) => self
                    .document
                    .validate(&parameter["schema"], &self.typed(&parameter["schema"], &value))
                    .map_err(|wrong| format!("{name} was accepted: {wrong}"))?,
            }
        }
        let named = |name: &str| {
            let mut parameters = self.parameters.iter();
            parameters.any(|it| it["in"] == "query" && it["name"] == name)
        };
        if let Some((name, _)) = query.iter().find(|(name, _)| !named(name)) {
            return Err(format!("parameter {name} was accepted, but is not documented"));
        }
        if !self.json["requestBody"].is_null() {
            let body = request.body().and_then(reqwest::Body::as_bytes).unwrap_or_default();
            let body = serde_json::from_slice(body)
                .map_err(|error| format!("no JSON was accepted: {error}"))?;
            let schema = &self.json["requestBody"]["content"]["application/json"]["schema"];
            self.document
                .validate(schema, &body)
                .map_err(|wrong| format!("the body was accepted: {wrong}"))?;
        }
        Ok(())
    }

    /// The text of a parameter as the type that its schema asks for.
    fn typed(&self, schema: &Value, text: &str) -> Value {
        match self.document.resolve(schema)["type"].as_str() {
            Some("integer" | "boolean") => serde_json::from_str(text).unwrap_or(json!(text)),
            _ => json!(text),
        }
    }
}

fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get("content-type").and_then(|value| value.to_str().ok());
    value.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_owned()
}

/// A segment of a path without its percent signs.
fn decoded(segment: &str) -> String {
    // The URL parser decodes it as a query. In a path, a plus is just a plus.
    let url = reqwest::Url::parse(&format!("http://x/?s={}", segment.replace('+', "%2B")));
    let url = url.expect("a segment of a URL is one again");
    url.query_pairs().next().map(|(_, value)| value.into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn operation(id: &str) -> Operation {
        let mut all = Document::all().iter().flat_map(Document::operations);
        all.find(|operation| operation.id() == id).expect("it is documented")
    }

    fn headers(media_type: &'static str) -> HeaderMap {
        [
            ("content-type", media_type),
            ("x-correlation-id", "c1"),
            ("cache-control", "no-store"),
            ("etag", "\"1\""),
        ]
        .into_iter()
        .map(|(name, value)| (name.parse().expect("a name"), HeaderValue::from_static(value)))
        .collect()
    }

    fn items() -> Value {
        let line = json!({"productId": "TEA", "productName": "Tea", "quantity": 1, "unitPrice": "1.00", "lineTotal": "1.00"});
        json!({"orderId": "019ac1f0-7c1e-7d5a-9d51-0c6f5a1e9b11", "items": [line]})
    }

    #[test]
    fn an_answer_must_be_as_documented_in_status_headers_type_and_body() {
        let operation = operation("get-order-items");
        let check = |status: u16, headers: &HeaderMap, body: &Value| {
            let status = StatusCode::from_u16(status).expect("a status");
            operation.check_answer(status, headers, &body.to_string())
        };
        let good = headers("application/json");
        assert_eq!(check(200, &good, &items()), Ok(()));

        assert!(check(201, &good, &items()).is_err(), "another status");
        assert!(check(200, &headers("text/plain"), &items()).is_err(), "another type");
        let mut untagged = good.clone();
        untagged.remove("etag");
        assert!(check(200, &untagged, &items()).is_err(), "a header is missing");
        let mut more = good.clone();
        more.insert("x-inside", HeaderValue::from_static("1"));
        assert!(check(200, &more, &items()).is_err(), "one more header");
        for (pointer, value) in [
            ("", json!({"orderId": "1"})),
            ("/items/0/secret", json!(1)),
            ("/items/0/quantity", json!(0)),
            ("/items/0/unitPrice", json!(1.0)),
            ("/orderId", json!("not an id")),
        ] {
            let mut wrong = items();
            match pointer.rsplit_once('/') {
                Some((parent, name)) => {
                    wrong.pointer_mut(parent).expect("it is there")[name] = value;
                }
                None => wrong = value,
            }
            assert!(check(200, &good, &wrong).is_err(), "{pointer}");
        }
    }

    #[test]
    fn a_request_that_was_accepted_must_be_valid() {
        let accepted = |id: &str, method: Method, url: &str, body: Option<Value>| {
            let url = url.parse().expect("a URL");
            let mut request = reqwest::Request::new(method, url);
            *request.body_mut() = body.map(|body| body.to_string().into());
            let path = request.url().path().to_owned();
            operation(id).check_request(&request, &path)
        };
        let list = |query: &str| {
            accepted("list-orders", Method::GET, &format!("http://x/api/orders?{query}"), None)
        };
        assert_eq!(list("limit=5&status=PENDING"), Ok(()));
        for wrong in ["limit=101", "limit=x", "status=LOST", "offset=3", "from=yesterday"] {
            assert!(list(wrong).is_err(), "{wrong}");
        }
        let id = "019ac1f0-7c1e-7d5a-9d51-0c6f5a1e9b11";
        let stage = |id: &str, body| {
            let url = format!("http://x/api/orders/{id}/status");
            accepted("update-order-status", Method::PUT, &url, Some(body))
        };
        assert_eq!(stage(id, json!({"status": "SHIPPED"})), Ok(()));
        assert!(stage(id, json!({"status": "LOST"})).is_err());
        assert!(stage(id, json!({"status": "SHIPPED", "more": 1})).is_err());
        assert!(stage("1", json!({"status": "SHIPPED"})).is_err());
    }
}
