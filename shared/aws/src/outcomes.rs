//! What inventory and payments told about orders: a projection of their events, in one separate item for each order.
//!
//! The order's own item is not changed: its writers would meet a change that does not matter to them.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use serde_dynamo::aws_sdk_dynamodb_1::{from_attribute_value, to_attribute_value};
use trackops_domain::order::Order;
use trackops_domain::outcome::Outcome;
use trackops_domain::{OrderId, Schema};

use crate::aggregate::Aggregate;
use crate::error::StoreError;
use crate::orders::Orders;
use crate::stored::{self, read};

fn key(order: &OrderId) -> String {
    format!("NOTES#{order}")
}

impl Orders {
    /// Notes what an event told about an order. The event's id names the attribute, so a repetition writes the same
    /// again.
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
            .update_expression("SET #event = :outcome, #schema = if_not_exists(#schema, :schema)")
            .expression_attribute_names("#event", event_id)
            .expression_attribute_names("#schema", stored::SCHEMA)
            .expression_attribute_values(":schema", stored::schema(Schema::FIRST))
            .expression_attribute_values(":outcome", to_attribute_value(outcome)?)
            .send()
            .await?;
        Ok(())
    }

    /// An order and what was noted of it, in the order of the events' ids. A note that cannot be read is left out.
    pub async fn find_with_outcomes(
        &self,
        id: &OrderId,
    ) -> Result<Option<(Order, Vec<Outcome>)>, StoreError> {
        let (mut order, mut noted) = (None, BTreeMap::new());
        for mut item in self.table().items(vec![Order::key(id), key(id)], true).await? {
            if item.remove("pk") == Some(AttributeValue::S(key(id))) {
                item.remove(stored::SCHEMA);
                for (event_id, note) in item {
                    match from_attribute_value::<Outcome>(note) {
                        Ok(note) => _ = noted.insert(event_id, note),
                        Err(error) => {
                            tracing::error!(event_id, %error, "a note of an order cannot be read");
                        }
                    }
                }
            } else {
                order = Some(read::<Order>(item, Order::SCHEMA)?);
            }
        }
        Ok(order.map(|order| (order, noted.into_values().collect())))
    }
}
