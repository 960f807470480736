//! The data of each type of event. Fields are sorted by name, as on the wire.
//!
//! The comments are part of the published schemas (`infra/events/`).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::EventType;
use crate::money::{Amount, Currency};
use crate::order::{OrderStatus, Reason};
use crate::payment::PaymentState;
use crate::reservation::ReservationState;
use crate::stock::Adjustment;
use crate::{CustomerId, OrderId, Sku, Timestamp};

/// The `data` of an event, by its type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Data {
    OrderCreated(OrderCreated),
    OrderStatusUpdated(OrderStatusUpdated),
    InventoryItemUpdated(InventoryItemUpdated),
    InventoryReserved(InventoryReserved),
    InventoryReservationFailed(InventoryReservationFailed),
    InventoryReleased(InventoryReleased),
    InventoryLowStock(InventoryLowStock),
    PaymentProcessed(ProviderAnswer),
    PaymentFailed(ProviderAnswer),
    PaymentRefunded(ProviderAnswer),
}

impl Data {
    pub const fn kind(&self) -> EventType {
        match self {
            Self::OrderCreated(_) => EventType::OrderCreated,
            Self::OrderStatusUpdated(_) => EventType::OrderStatusUpdated,
            Self::InventoryItemUpdated(_) => EventType::InventoryItemUpdated,
            Self::InventoryReserved(_) => EventType::InventoryReserved,
            Self::InventoryReservationFailed(_) => EventType::InventoryReservationFailed,
            Self::InventoryReleased(_) => EventType::InventoryReleased,
            Self::InventoryLowStock(_) => EventType::InventoryLowStock,
            Self::PaymentProcessed(_) => EventType::PaymentProcessed,
            Self::PaymentFailed(_) => EventType::PaymentFailed,
            Self::PaymentRefunded(_) => EventType::PaymentRefunded,
        }
    }

    /// `data` of the newest version of `kind`.
    pub(super) fn read(kind: EventType, data: Value) -> serde_json::Result<Self> {
        use serde_json::from_value as read;
        Ok(match kind {
            EventType::OrderCreated => Self::OrderCreated(read(data)?),
            EventType::OrderStatusUpdated => Self::OrderStatusUpdated(read(data)?),
            EventType::InventoryItemUpdated => Self::InventoryItemUpdated(read(data)?),
            EventType::InventoryReserved => Self::InventoryReserved(read(data)?),
            EventType::InventoryReservationFailed => Self::InventoryReservationFailed(read(data)?),
            EventType::InventoryReleased => Self::InventoryReleased(read(data)?),
            EventType::InventoryLowStock => Self::InventoryLowStock(read(data)?),
            EventType::PaymentProcessed => Self::PaymentProcessed(read(data)?),
            EventType::PaymentFailed => Self::PaymentFailed(read(data)?),
            EventType::PaymentRefunded => Self::PaymentRefunded(read(data)?),
        })
    }
}

/// An order was placed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct OrderCreated {
    pub currency: Currency,
    pub customer_id: CustomerId,
    /// One for each product.
    pub items: Vec<PricedItem>,
    pub order_id: OrderId,
    /// PENDING.
    pub status: OrderStatus,
    pub total_amount: Amount,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PricedItem {
    pub product_id: Sku,
    pub quantity: u32,
    pub unit_price: Amount,
}

/// The status of an order has changed, whoever changed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct OrderStatusUpdated {
    pub customer_id: CustomerId,
    pub order_id: OrderId,
    pub previous_status: OrderStatus,
    /// `null` on the happy path.
    pub reason: Option<Reason>,
    pub status: OrderStatus,
}

/// A product was added, changed or discontinued. It has no counts: a reservation does not raise this event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct InventoryItemUpdated {
    /// Only if the change had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adjustment: Option<Adjustment>,
    pub currency: Currency,
    pub discontinued: bool,
    pub product_id: Sku,
    pub product_name: String,
    pub unit_price: Amount,
}

/// Units are held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct InventoryReserved {
    pub expires_at: Timestamp,
    pub items: Vec<Item>,
    /// The same as `reservationId`, and only if the reservation is for an order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_id: Option<OrderId>,
    pub reservation_id: OrderId,
    /// HELD.
    pub state: ReservationState,
}

/// There were too few units of a product; nothing is held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct InventoryReservationFailed {
    /// As asked for.
    pub items: Vec<Item>,
    /// The same as `reservationId`, and only if the reservation is for an order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_id: Option<OrderId>,
    pub reservation_id: OrderId,
    pub shortages: Vec<ShortItem>,
    /// REJECTED.
    pub state: ReservationState,
}

/// The units of a reservation were given back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct InventoryReleased {
    pub items: Vec<Item>,
    /// The same as `reservationId`, and only if the reservation is for an order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_id: Option<OrderId>,
    pub reservation_id: OrderId,
    /// RELEASED or EXPIRED.
    pub state: ReservationState,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Item {
    pub product_id: Sku,
    pub quantity: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ShortItem {
    /// At that moment; 0 for a product that is unknown or discontinued.
    pub available: u32,
    pub product_id: Sku,
    pub requested: u32,
}

/// A product's available units fell from above its `minStockLevel` to this level or below. Raised once per crossing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct InventoryLowStock {
    /// Only if an adjustment made the product low.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adjustment: Option<Adjustment>,
    /// Units that are promised to nobody, after the change.
    pub available_quantity: u32,
    /// 0 when the product has no level: then it is low when it is out of stock.
    pub min_stock_level: u32,
    pub product_id: Sku,
    pub reorder_quantity: Option<u32>,
}

/// What the payment provider did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ProviderAnswer {
    /// `null` when the payment was voided before anybody asked for it. Then the currency is `null` too.
    pub amount: Option<Amount>,
    pub currency: Option<Currency>,
    pub order_id: OrderId,
    /// The state of the payment before this answer.
    pub previous_state: PaymentState,
    pub state: PaymentState,
}
