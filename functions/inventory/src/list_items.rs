//! `GET /api/inventory/items` lists products by their id. A walk through its pages misses none and repeats none.

use trackops_aws::inventory::Inventory;
use trackops_aws::inventory_list::ItemFilter;
use trackops_lambda::cursor::Cursors;
use trackops_lambda::http::{Answer, Call, Query, kept_by_caller, tagged};
use trackops_lambda::identity::Role;
use trackops_lambda::problem::Problem;

use crate::view::ItemView;

pub async fn handle(inventory: &Inventory, cursors: &Cursors, call: Call) -> Answer {
    let mut query = Query::of(&call.request);
    let limit = query.limit();
    let cursor: Option<String> = query.take("cursor");
    let filter =
        ItemFilter { category: query.take("category"), low_stock: query.boolean("lowStock") };
    query.finish()?;
    if filter.low_stock.is_some() {
        // The filter would show customers what they may not see.
        call.caller.must_be(&[Role::Operator, Role::Service])?;
    }
    let list = cursors.of("items", &call.caller, &filter).await?;
    let after = cursor.map(|cursor| list.read(&cursor)).transpose()?;
    let page = inventory.list_items(&filter, after, limit).await?;
    let view = |item| ItemView::of(item, call.caller.role);
    let items: Result<Vec<_>, _> = page.found.into_iter().map(view).collect();
    let unreadable = page.unreadable.ids();
    let page = list.page(items.map_err(Problem::internal)?, &unreadable, page.next)?;
    Ok(kept_by_caller(tagged(page)))
}
