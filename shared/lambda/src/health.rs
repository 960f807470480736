//! Whether a service reaches what it needs, part by part.

use lambda_http::http::StatusCode;
use lambda_http::{Body, Response};
use serde_json::{Map, Value, json};
use trackops_aws::StoreError;

use crate::error::chain;

/// 200 when every part is up, else 503; the reasons are for the log alone.
pub fn health(
    parts: impl IntoIterator<Item = (&'static str, Result<(), StoreError>)>,
) -> Response<Body> {
    let mut up = true;
    let mut components = Map::<String, Value>::new();
    for (name, outcome) in parts {
        if let Err(error) = &outcome {
            tracing::error!(component = name, error = chain(error), "down");
        }
        up &= outcome.is_ok();
        components.insert(name.to_owned(), json!({"status": word(outcome.is_ok())}));
    }
    let code = if up { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    crate::http::json(code, &json!({"status": word(up), "components": components}))
}

const fn word(up: bool) -> &'static str {
    if up { "UP" } else { "DOWN" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_part_that_is_down_is_named_and_the_service_is_down() {
        let down = Err(StoreError::corrupt("a secret of the inside"));
        let answer = health([("table", Ok(())), ("bus", down)]);
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        let body: Value = serde_json::from_slice(answer.body()).unwrap();
        let expected = json!({
            "status": "DOWN",
            "components": {"table": {"status": "UP"}, "bus": {"status": "DOWN"}},
        });
        assert_eq!(body, expected);
        assert_eq!(health([("table", Ok(()))]).status(), StatusCode::OK);
    }
}
