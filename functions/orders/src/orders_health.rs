//! `GET /actuator/health` says whether the table, what is due, the saga and the bus can be reached, part by part; 503 when one cannot.

use futures::future::OptionFuture;
use trackops_aws::bus::Bus;
use trackops_aws::orders::Orders;
use trackops_lambda::health::health;
use trackops_lambda::http::Answer;

use crate::saga::Sagas;

/// There is no bus here when the bus is Kafka, because orders do not reach Kafka. The relay's health shows it.
pub async fn handle(orders: &Orders, sagas: &Sagas, bus: Option<&Bus>) -> Answer {
    let table = orders.table();
    let bus = OptionFuture::from(bus.map(Bus::check));
    let parts = futures::join!(table.check(), table.check_due(), sagas.check(), bus);
    let bus = parts.3.map(|bus| ("bus", bus));
    let parts = [("table", parts.0), ("backlog", parts.1), ("saga", parts.2)];
    Ok(health(parts.into_iter().chain(bus)))
}
