//! `DELETE /api/inventory/items/{id}` discontinues a product that nobody has reserved. Safe to repeat.

use lambda_http::http::StatusCode;
use trackops_aws::aggregate::Write;
use trackops_aws::inventory::Inventory;
use trackops_domain::stock::StockItem;
use trackops_domain::{Sku, Timestamp};
use trackops_lambda::http::{Answer, Call, if_match, path_param};
use trackops_lambda::identity::Role;
use trackops_lambda::problem::Problem;

use crate::update_item::refused;
use crate::view::{not_found, show};

pub async fn handle(inventory: &Inventory, call: Call) -> Answer {
    call.caller.must_be(&[Role::Operator, Role::Service])?;
    let sku: Sku = path_param(&call.request, "id", not_found)?;
    let expected = if_match(&call.request)?;
    let decide = |item: Option<StockItem>| {
        let item = item.ok_or_else(not_found)?;
        // Repeating it is safe, also with the version from before.
        if !item.discontinued && expected.is_some_and(|version| version != item.version) {
            return Err(Problem::changed(item.version));
        }
        let next = item.withdrawn(Timestamp::now(), &call.cause).map_err(refused)?;
        Ok(next.map_or(Write::Nothing(item), Write::Replace))
    };
    show(StatusCode::OK, inventory.change_item(&sku, decide).await?)
}
