//! `GET /actuator/health` says whether the table, what is due and the lists can be reached, part by part; 503 when one cannot.

use trackops_aws::inventory::Inventory;
use trackops_lambda::health::health;
use trackops_lambda::http::Answer;

pub async fn handle(inventory: &Inventory) -> Answer {
    let table = inventory.table();
    let parts = tokio::join!(table.check(), table.check_due(), inventory.check_lists());
    Ok(health([("table", parts.0), ("backlog", parts.1), ("lists", parts.2)]))
}
