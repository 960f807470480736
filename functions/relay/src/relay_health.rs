//! `GET /actuator/health` says whether the bus and the outboxes can be reached, part by part; 503 when one cannot.

use futures::future::join_all;
use lambda_http::http::StatusCode;
use serde_json::{Map, Value, json};
use trackops_aws::StoreError;
use trackops_aws::aggregate::Table;
use trackops_aws::bus::Bus;
use trackops_aws::outbox::Page;
use trackops_domain::Timestamp;
use trackops_lambda::error::chain;
use trackops_lambda::http::{Answer, json as answer};

/// The names that the parts have for callers, in the order of `TABLES`.
const SERVICES: [&str; 3] = ["orders", "inventory", "payments"];

pub async fn handle(bus: &Bus, tables: &[Table]) -> Answer {
    let now = Timestamp::now();
    let outboxes = tables.iter().map(|table| table.unpublished_before(0, now, Page::default()));
    let (bus, outboxes) = (bus.check().await, join_all(outboxes).await);
    let mut parts = vec![("bus", bus)];
    let outboxes = outboxes.into_iter().map(|outbox| outbox.map(drop));
    parts.extend(SERVICES.into_iter().zip(outboxes));

    let up = parts.iter().all(|(_, outcome)| outcome.is_ok());
    let components: Map<String, Value> =
        parts.into_iter().map(|(name, outcome)| (name.to_owned(), status(name, outcome))).collect();
    let code = if up { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok(answer(code, &json!({"status": word(up), "components": components})))
}

fn status(name: &str, outcome: Result<(), StoreError>) -> Value {
    if let Err(error) = &outcome {
        tracing::error!(component = name, error = chain(error), "down");
    }
    json!({"status": word(outcome.is_ok())})
}

const fn word(up: bool) -> &'static str {
    if up { "UP" } else { "DOWN" }
}
