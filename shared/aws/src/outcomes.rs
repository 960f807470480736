//! What inventory and payments told of orders: a projection of their events, an item of its own for each order.
//!
//! The order is left alone: its writers would meet a change that they need not know.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use serde_dynamo::aws_sdk_dynamodb_1::{from_item, to_attribute_value};
use trackops_domain::OrderId;
use trackops_domain::order::Order;
use trackops_domain::outcome::Outcome;

use crate::error::StoreError;
use crate::orders::Orders;

fn key(order: &OrderId) -> String {
    format!("NOTES#{order}")
}

impl Orders {
    /// Notes what an event told of an order. The event's id names the attribute, so a repetition writes the same again.
    pub async fn note(
        &self,
        order: &OrderId,
        event_id: &str,
        outcome: &Outcome,
    ) -> Result<(), StoreError> {
        let table = self.table();
        table
            .client
            .update_item()
            .table_name(&table.name)
            .key("pk", AttributeValue::S(key(order)))
            .update_expression("SET #event = :outcome")
            .expression_attribute_names("#event", event_id)
            .expression_attribute_values(":outcome", to_attribute_value(outcome)?)
            .send()
            .await?;
        Ok(())
    }

    /// An order and what was noted of it, in the order of the events' ids.
    pub async fn find_with_outcomes(
        &self,
        id: &OrderId,
    ) -> Result<Option<(Order, Vec<Outcome>)>, StoreError> {
        let (mut order, mut noted) = (None, BTreeMap::new());
        for mut item in self.table().items(vec![Order::key(id), key(id)], true).await? {
            if item.remove("pk") == Some(AttributeValue::S(key(id))) {
                noted = from_item::<BTreeMap<String, Outcome>>(item)?;
            } else {
                order = Some(from_item::<Order>(item)?);
            }
        }
        Ok(order.map(|order| (order, noted.into_values().collect())))
    }
}
