//! `GET /api/inventory/reservations` lists reservations, newest first.

use trackops_aws::inventory::Inventory;
use trackops_aws::inventory_list::ReservationFilter;
use trackops_lambda::cursor::Cursors;
use trackops_lambda::http::{Answer, Call, Query};
use trackops_lambda::identity::Role;

use crate::reservation_view::ReservationView;

pub async fn handle(inventory: &Inventory, cursors: &Cursors, call: Call) -> Answer {
    call.caller.must_be(&[Role::Operator, Role::Service])?;
    let mut query = Query::of(&call.request);
    let limit = query.limit();
    let cursor: Option<String> = query.take("cursor");
    let filter = ReservationFilter {
        status: query.take("status"),
        order: query.take("orderId"),
        product: query.take("productId"),
    };
    query.finish()?;
    let list = cursors.of("reservations", &call.caller, &filter).await?;
    let after = cursor.map(|cursor| list.read(&cursor)).transpose()?;
    let page = inventory.list_reservations(&filter, after, limit).await?;
    let items = page.found.iter().map(ReservationView::of).collect();
    list.page(items, &page.unreadable.ids(), page.next)
}
