//! Consumes `inventory.low_stock`: publishes to the topic `LowStock` which product has to be ordered, once for each
//! event however often the event comes. It publishes again only if this function dies, or SNS's answer is lost, before
//! the event is noted as published.

use aws_sdk_sns::Client;
use aws_sdk_sns::types::MessageAttributeValue;
use trackops_aws::StoreError;
use trackops_aws::notices::{Notices, Turn};
use trackops_domain::Event;
use trackops_domain::event::Data;
use trackops_domain::event::data::InventoryLowStock;
use trackops_lambda::batch::RecordError;

pub struct LowStock {
    notices: Notices,
    client: Client,
    topic: String,
}

impl LowStock {
    pub const fn new(notices: Notices, client: Client, topic: String) -> Self {
        Self { notices, client, topic }
    }
}

pub async fn handle(low_stock: &LowStock, event: Event) -> Result<(), RecordError> {
    let Data::InventoryLowStock(about) = &event.data else {
        return Err(StoreError::unexpected(&event).into());
    };
    match low_stock.notices.turn(&event.id).await? {
        Turn::Yours => {}
        Turn::Told => return Ok(()),
        // If this counted as published, nobody would publish it when the other copy dies.
        Turn::Taken => return Err(StoreError::Busy("another copy is being told".into()).into()),
    }
    // With this id a subscriber can recognise a repetition.
    let id =
        MessageAttributeValue::builder().data_type("String").string_value(&event.id).build()?;
    let publish = low_stock.client.publish().topic_arn(&low_stock.topic);
    let publish = publish.subject(subject(about)).message(message(about, &event.id));
    publish.message_attributes("eventId", id).send().await?;
    Ok(low_stock.notices.told(&event.id).await?)
}

/// At most 100 characters of ASCII ("Publish", SNS API reference); a product id has at most 64.
fn subject(about: &InventoryLowStock) -> String {
    format!("Low stock: {}", about.product_id)
}

fn message(about: &InventoryLowStock, id: &str) -> String {
    let InventoryLowStock {
        product_id, available_quantity, min_stock_level, reorder_quantity, ..
    } = about;
    let reorder = match reorder_quantity {
        Some(quantity) => format!("Reorder quantity: {quantity}.\n"),
        None => String::new(),
    };
    format!(
        "{product_id}: {available_quantity} units are available, the minimum is {min_stock_level}.\n\
         {reorder}Event: {id}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_says_what_is_left_and_how_much_to_order() {
        let json = r#"{"productId": "TEA", "availableQuantity": 1, "minStockLevel": 2, "reorderQuantity": 50}"#;
        let mut about: InventoryLowStock = serde_json::from_str(json).unwrap();
        assert_eq!(subject(&about), "Low stock: TEA");
        let with = "TEA: 1 units are available, the minimum is 2.\nReorder quantity: 50.\nEvent: STOCK#TEA#3\n";
        assert_eq!(message(&about, "STOCK#TEA#3"), with);
        about.reorder_quantity = None;
        let without = "TEA: 1 units are available, the minimum is 2.\nEvent: STOCK#TEA#3\n";
        assert_eq!(message(&about, "STOCK#TEA#3"), without);
    }
}
