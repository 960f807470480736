//! `DELETE /api/inventory/items/{id}` discontinues a product that nobody has reserved. Safe to repeat.

use lambda_http::http::StatusCode;
use trackops_aws::aggregate::Write;
use trackops_aws::inventory::Inventory;
use trackops_domain::stock::StockItem;
use trackops_domain::{Sku, Timestamp};
use trackops_lambda::http::{Answer, Call, path_param};
use trackops_lambda::idempotency::Repetition;
use trackops_lambda::identity::Role;
use trackops_lambda::preconditions::Preconditions;

use crate::update_item::refused;
use crate::view::{not_found, show};

pub async fn handle(inventory: &Inventory, call: Call) -> Answer {
    call.caller.must_be(&[Role::Operator, Role::Service])?;
    let sku: Sku = path_param(&call.request, "id", not_found)?;
    let conditions = Preconditions::of(call.request.headers())?;
    let repetition = Repetition::of(&call, &conditions, true)?;
    let decide = |item: Option<StockItem>| {
        let item = item.ok_or_else(not_found)?;
        conditions.allow(item.version)?;
        let next = item.withdrawn(Timestamp::now(), &call.cause).map_err(refused)?;
        Ok(next.map_or(Write::Nothing(item), Write::Replace))
    };
    let answer = |item: &StockItem| repetition.kept(&show(StatusCode::OK, item.clone())?);
    let once = inventory.change_item(&sku, &repetition.request, decide, answer).await?;
    repetition.answer(once)
}
