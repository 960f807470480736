//! `GET /actuator/health` says whether the table, the saga and the bus can be reached, part by part; 503 when one cannot.

use trackops_aws::bus::Bus;
use trackops_aws::orders::Orders;
use trackops_lambda::health::health;
use trackops_lambda::http::Answer;

use crate::saga::Sagas;

pub async fn handle(orders: &Orders, sagas: &Sagas, bus: &Bus) -> Answer {
    let parts = futures::join!(orders.table().check(), sagas.check(), bus.check());
    Ok(health([("table", parts.0), ("saga", parts.1), ("bus", parts.2)]))
}
