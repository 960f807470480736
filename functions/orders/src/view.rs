//! An order as the API shows it.

use serde::Serialize;
use trackops_domain::money::{BadMoney, Currency, Money};
use trackops_domain::order::{Line, Order, OrderStatus, Reason};
use trackops_domain::{CustomerId, OrderId, Sku, Timestamp};
use trackops_lambda::problem::Problem;

use crate::create_order::AddressBody;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderView {
    order_id: OrderId,
    customer_id: CustomerId,
    status: OrderStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    items: Vec<LineView>,
    total_amount: String,
    currency: Currency,
    address: AddressBody,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery_instructions: Option<String>,
    payment_deadline: Timestamp,
    created_at: Timestamp,
    updated_at: Timestamp,
    version: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LineView {
    product_id: Sku,
    product_name: String,
    quantity: u32,
    unit_price: String,
    line_total: String,
}

impl TryFrom<Order> for OrderView {
    type Error = Problem;

    fn try_from(order: Order) -> Result<Self, Problem> {
        view(order).map_err(Problem::internal)
    }
}

fn view(order: Order) -> Result<OrderView, BadMoney> {
    Ok(OrderView {
        order_id: order.id,
        customer_id: order.customer_id,
        status: order.status,
        reason: order.reason,
        items: lines(order.lines, order.currency)?,
        total_amount: Money::from_minor(order.total, order.currency)?.to_decimal(),
        currency: order.currency,
        address: order.address.into(),
        delivery_instructions: order.delivery_instructions,
        payment_deadline: order.payment_deadline,
        created_at: order.created_at,
        updated_at: order.updated_at,
        version: order.version,
    })
}

pub fn lines(lines: Vec<Line>, currency: Currency) -> Result<Vec<LineView>, BadMoney> {
    let view = |line: Line| {
        let unit_price = Money::from_minor(line.unit_price, currency)?;
        Ok(LineView {
            product_id: line.sku,
            product_name: line.name,
            quantity: line.quantity,
            unit_price: unit_price.to_decimal(),
            line_total: unit_price.times(line.quantity)?.to_decimal(),
        })
    };
    lines.into_iter().map(view).collect()
}
