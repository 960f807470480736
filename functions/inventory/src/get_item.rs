//! `GET /api/inventory/items/{id}` shows a product and its stock. Invoked directly with `{"productId"}` it tells other services.

use serde::{Deserialize, Serialize};
use trackops_aws::inventory::Inventory;
use trackops_domain::Sku;
use trackops_lambda::http::{Answer, Call, kept_by_caller, path_param, unless_known};
use trackops_lambda::problem::Problem;
use trackops_lambda::task::TaskError;

use crate::view::{ItemView, not_found};

pub async fn handle(inventory: &Inventory, call: Call) -> Answer {
    let sku: Sku = path_param(&call.request, "id", not_found)?;
    let item = inventory.find_item(&sku).await?.ok_or_else(not_found)?;
    let version = item.version;
    let view = ItemView::try_from(item).map_err(Problem::internal)?;
    Ok(kept_by_caller(unless_known(&call.request, version, &view)))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Question {
    product_id: Sku,
}

/// `null`: there is no such product.
#[derive(Serialize)]
pub struct Told {
    item: Option<ItemView>,
}

pub async fn tell(inventory: &Inventory, question: Question) -> Result<Told, TaskError> {
    let item = inventory.find_item(&question.product_id).await?;
    Ok(Told { item: item.map(ItemView::try_from).transpose().map_err(TaskError::broken)? })
}
