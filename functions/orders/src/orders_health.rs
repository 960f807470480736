//! `GET /actuator/health` says whether the table, what is due, the saga and the bus can be reached, part by part; 503 when one cannot.

use trackops_aws::bus::Bus;
use trackops_aws::orders::Orders;
use trackops_lambda::health::health;
use trackops_lambda::http::Answer;

use crate::saga::Sagas;

pub async fn handle(orders: &Orders, sagas: &Sagas, bus: &Bus) -> Answer {
    let table = orders.table();
    let parts = futures::join!(table.check(), table.check_due(), sagas.check(), bus.check());
    Ok(health([("table", parts.0), ("backlog", parts.1), ("saga", parts.2), ("bus", parts.3)]))
}
