//! The stock level of one product, and its entry in the catalogue.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::event::{Cause, Event, EventType};
use crate::money::{Currency, Money};
use crate::{Sku, Timestamp};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockItem {
    pub sku: Sku,
    pub version: u64,
    pub name: String,
    pub description: Option<String>,
    pub category: Option<String>,
    /// Minor units.
    pub unit_price: i64,
    pub currency: Currency,
    /// Units in the house.
    pub on_hand: u32,
    /// Units in the house that are promised to nobody.
    pub available: u32,
    /// At or below it the item is low. 0 when no minimum was given: low means out.
    pub low_stock_threshold: u32,
    pub max_stock_level: Option<u32>,
    pub reorder_quantity: Option<u32>,
    pub discontinued: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// The event of the newest change, if it is one that others act on. Leaves with the write.
    #[serde(skip)]
    pub raised: Option<Event>,
}

/// What taking units does to the low-stock mark; each has a condition of its own, so that only the one
/// reservation that crosses the mark has to know the exact version of a hot item.
#[derive(Clone, Debug, PartialEq)]
pub enum Taking {
    StaysAbove,
    AlreadyLow,
    /// Raises `inventory.low_stock`.
    Crosses(Box<Event>),
}

impl StockItem {
    pub fn key(sku: &Sku) -> String {
        format!("STOCK#{sku}")
    }

    pub const fn is_low(&self) -> bool {
        self.available <= self.low_stock_threshold
    }

    pub const fn reserved(&self) -> u32 {
        self.on_hand.saturating_sub(self.available)
    }

    /// `None`: there are not so many, or it is not sold any more.
    pub fn taking(&self, quantity: u32, at: Timestamp, cause: &Cause) -> Option<Taking> {
        let left = self.available.checked_sub(quantity)?;
        if self.discontinued {
            return None;
        }
        Some(if self.is_low() {
            Taking::AlreadyLow
        } else if left > self.low_stock_threshold {
            Taking::StaysAbove
        } else {
            let data = json!({
                "productId": self.sku, "availableQuantity": left,
                "minStockLevel": self.low_stock_threshold, "reorderQuantity": self.reorder_quantity,
            });
            let (key, subject) = (Self::key(&self.sku), self.sku.to_string());
            let version = self.version + 1;
            let kind = EventType::InventoryLowStock;
            Taking::Crosses(Box::new(Event::raised(kind, &key, subject, version, at, cause, data)))
        })
    }

    /// `inventory.item.updated`: the catalogue entry as of this version.
    pub fn catalogue_event(&self, cause: &Cause) -> Event {
        let price = Money::from_minor(self.unit_price, self.currency).map(Money::to_decimal).ok();
        let data = json!({
            "productId": self.sku, "productName": self.name, "unitPrice": price,
            "currency": self.currency, "discontinued": self.discontinued,
        });
        let (key, subject) = (Self::key(&self.sku), self.sku.to_string());
        let kind = EventType::InventoryItemUpdated;
        Event::raised(kind, &key, subject, self.version, self.updated_at, cause, data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn item(available: u32, threshold: u32) -> StockItem {
        StockItem {
            sku: "TEA".parse().unwrap(),
            version: 7,
            name: "Tea".into(),
            description: None,
            category: None,
            unit_price: 250,
            currency: Currency::from_code("EUR").unwrap(),
            on_hand: available,
            available,
            low_stock_threshold: threshold,
            max_stock_level: None,
            reorder_quantity: None,
            discontinued: false,
            created_at: Timestamp::from_millis(0),
            updated_at: Timestamp::from_millis(0),
            raised: None,
        }
    }

    fn taking(item: &StockItem, quantity: u32) -> Option<Taking> {
        item.taking(quantity, Timestamp::from_millis(0), &Cause::default())
    }

    proptest! {
        #[test]
        fn selling_out_in_any_steps_crosses_the_mark_once_and_never_oversells(
            stock in 0..60_u32, threshold in 0..30_u32, takes in prop::collection::vec(1..9_u32, 0..40)
        ) {
            let mut item = item(stock, threshold);
            let (was_low, mut crossed, mut taken) = (item.is_low(), 0, 0);
            for quantity in takes {
                let Some(outcome) = taking(&item, quantity) else { continue };
                crossed += u32::from(matches!(outcome, Taking::Crosses(_)));
                item.available -= quantity;
                taken += quantity;
                prop_assert_eq!(matches!(outcome, Taking::StaysAbove), !item.is_low());
            }
            prop_assert!(taken <= stock);
            prop_assert_eq!(crossed, u32::from(!was_low && item.is_low()));
        }
    }

    #[test]
    fn a_discontinued_product_is_not_promised_to_anyone() {
        let mut item = item(5, 0);
        item.discontinued = true;
        assert_eq!(taking(&item, 1), None);
    }
}
