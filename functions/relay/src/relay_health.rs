//! `GET /actuator/health` says whether the bus and the outboxes can be reached, part by part; 503 when one cannot.

use futures::future::join_all;
use trackops_aws::aggregate::Table;
use trackops_aws::bus::Bus;
use trackops_aws::outbox::Page;
use trackops_domain::Timestamp;
use trackops_lambda::health::health;
use trackops_lambda::http::Answer;

/// The names that the parts have for callers, in the order of `TABLES`.
const SERVICES: [&str; 3] = ["orders", "inventory", "payments"];

pub async fn handle(bus: &Bus, tables: &[Table]) -> Answer {
    let now = Timestamp::now();
    let outboxes = tables.iter().map(|table| table.unpublished_before(0, now, Page::default()));
    let (bus, outboxes) = (bus.check().await, join_all(outboxes).await);
    let outboxes = outboxes.into_iter().map(|outbox| outbox.map(drop));
    Ok(health([("bus", bus)].into_iter().chain(SERVICES.into_iter().zip(outboxes))))
}
