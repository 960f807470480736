//! `GET /api/inventory/items/{id}` shows a product and its stock. Other services invoke it directly with
//! `{"productIds"}`.

use lambda_http::http::StatusCode;
use serde::{Deserialize, Serialize};
use trackops_aws::inventory::Inventory;
use trackops_domain::Sku;
use trackops_domain::order::MAX_LINES;
use trackops_lambda::http::{Answer, Call, kept_by_caller, path_param};
use trackops_lambda::identity::Role;
use trackops_lambda::problem::Problem;
use trackops_lambda::task::TaskError;

use crate::view::{ItemView, not_found};

pub async fn handle(inventory: &Inventory, call: Call) -> Answer {
    let sku: Sku = path_param(&call.request, "id", not_found)?;
    let item = inventory.find_item(&sku).await?.ok_or_else(not_found)?;
    let view = ItemView::of(item, call.caller.role).map_err(Problem::internal)?;
    Ok(kept_by_caller(view.answer(StatusCode::OK)))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Question {
    #[serde(default)]
    product_ids: Vec<Sku>,
    /// The older version of a caller, which still runs during a deployment, asks like this.
    #[serde(default)]
    product_id: Option<Sku>,
}

/// A product that is not in the answer does not exist.
#[derive(Serialize)]
pub struct Told {
    items: Vec<ItemView>,
    /// For callers of the older version.
    item: Option<ItemView>,
}

pub async fn tell(inventory: &Inventory, question: Question) -> Result<Told, TaskError> {
    let item = match question.product_id {
        Some(sku) => inventory.find_item(&sku).await?,
        None => None,
    };
    let items = match &question.product_ids[..] {
        [] => Vec::new(),
        skus if skus.len() <= MAX_LINES => inventory.find_items(skus).await?,
        _ => return Err(TaskError::broken("more products than an order has lines")),
    };
    let view = |item| ItemView::of(item, Role::Service);
    let views: Result<_, _> = items.into_iter().map(view).collect();
    let item = item.map(view).transpose();
    Ok(Told { items: views.map_err(TaskError::broken)?, item: item.map_err(TaskError::broken)? })
}
