//! The events that tell other services what happened: CloudEvents 1.0 (<https://github.com/cloudevents/spec>),
//! structured JSON.

pub mod data;
#[cfg(feature = "schema")]
pub mod schema;
mod versions;

use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::Value;

pub use data::Data;

use crate::Timestamp;

/// What led to a change. Carried from the request or event that caused it into the events it raises.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cause {
    /// Names the whole journey, from `X-Correlation-Id`.
    pub correlation_id: String,
    /// The id of the event that was acted on, if one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<String>,
    /// W3C Trace Context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

/// An event type. The name is the wire name for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EventType {
    #[serde(rename = "order.created")]
    OrderCreated,
    #[serde(rename = "order.status.updated")]
    OrderStatusUpdated,
    #[serde(rename = "inventory.item.updated")]
    InventoryItemUpdated,
    #[serde(rename = "inventory.reserved")]
    InventoryReserved,
    #[serde(rename = "inventory.reservation.failed")]
    InventoryReservationFailed,
    #[serde(rename = "inventory.released")]
    InventoryReleased,
    #[serde(rename = "inventory.low_stock")]
    InventoryLowStock,
    #[serde(rename = "payment.processed")]
    PaymentProcessed,
    #[serde(rename = "payment.failed")]
    PaymentFailed,
    #[serde(rename = "payment.refunded")]
    PaymentRefunded,
}

impl EventType {
    pub const ALL: [Self; 10] = [
        Self::OrderCreated,
        Self::OrderStatusUpdated,
        Self::InventoryItemUpdated,
        Self::InventoryReserved,
        Self::InventoryReservationFailed,
        Self::InventoryReleased,
        Self::InventoryLowStock,
        Self::PaymentProcessed,
        Self::PaymentFailed,
        Self::PaymentRefunded,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::OrderCreated => "order.created",
            Self::OrderStatusUpdated => "order.status.updated",
            Self::InventoryItemUpdated => "inventory.item.updated",
            Self::InventoryReserved => "inventory.reserved",
            Self::InventoryReservationFailed => "inventory.reservation.failed",
            Self::InventoryReleased => "inventory.released",
            Self::InventoryLowStock => "inventory.low_stock",
            Self::PaymentProcessed => "payment.processed",
            Self::PaymentFailed => "payment.failed",
            Self::PaymentRefunded => "payment.refunded",
        }
    }

    /// The service that raises it; the `source` of EventBridge and, with `/` in front, of CloudEvents.
    pub const fn source(self) -> &'static str {
        match self {
            Self::OrderCreated | Self::OrderStatusUpdated => "trackops.orders",
            Self::InventoryItemUpdated
            | Self::InventoryReserved
            | Self::InventoryReservationFailed
            | Self::InventoryReleased
            | Self::InventoryLowStock => "trackops.inventory",
            Self::PaymentProcessed | Self::PaymentFailed | Self::PaymentRefunded => {
                "trackops.payments"
            }
        }
    }
}

/// A CloudEvent with the extensions `sequence`, `correlationid`, `causationid` and `traceparent`.
///
/// `Event` has data of the newest version of its type; an `Event<Value>` has it as it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(
        description = "A CloudEvent 1.0. Extensions: `sequence`, `correlationid`, `causationid`, `traceparent`."
    )
)]
pub struct Event<D = Data> {
    #[cfg_attr(feature = "schema", schemars(extend("const" = Event::SPEC_VERSION)))]
    pub specversion: String,
    /// `<aggregate>#<version>`: the same change always has the same id.
    pub id: String,
    /// `/` and the service that raises it.
    pub source: String,
    #[serde(rename = "type")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub kind: EventType,
    /// The id of the aggregate as the API shows it.
    pub subject: String,
    pub time: Timestamp,
    #[cfg_attr(feature = "schema", schemars(extend("const" = Event::CONTENT_TYPE)))]
    pub datacontenttype: String,
    /// The version of the type, such as `urn:trackops:order.created:2`. Version 1 goes without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataschema: Option<String>,
    /// The version of the aggregate after the change.
    pub sequence: u64,
    /// Names the whole journey.
    pub correlationid: String,
    /// The id of the event that was acted on, if one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causationid: Option<String>,
    /// W3C Trace Context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    pub data: D,
}

impl Event {
    pub const SPEC_VERSION: &str = "1.0";
    pub const CONTENT_TYPE: &str = "application/json";

    /// The event that `aggregate` (its key, such as `ORDER#<id>`) raised when it became version `sequence`.
    pub fn raised(
        aggregate: &str,
        subject: String,
        sequence: u64,
        at: Timestamp,
        cause: &Cause,
        data: Data,
    ) -> Self {
        let kind = data.kind();
        Self {
            specversion: Self::SPEC_VERSION.into(),
            id: format!("{aggregate}#{sequence}"),
            source: format!("/{}", kind.source()),
            kind,
            subject,
            time: at,
            datacontenttype: Self::CONTENT_TYPE.into(),
            dataschema: kind.versions().dataschema(),
            sequence,
            correlationid: cause.correlation_id.clone(),
            causationid: cause.causation_id.clone(),
            traceparent: cause.traceparent.clone(),
            data,
        }
    }

    /// The cause of every change that is made because of this event.
    pub fn as_cause(&self) -> Cause {
        Cause {
            correlation_id: self.correlationid.clone(),
            causation_id: Some(self.id.clone()),
            traceparent: self.traceparent.clone(),
        }
    }
}

/// Reads any version that was ever published.
impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let it = Event::<Value>::deserialize(deserializer)?;
        let versions = it.kind.versions();
        let data = versions
            .upcast(it.dataschema.as_deref(), it.data)
            .and_then(|data| Data::read(it.kind, data))
            .map_err(de::Error::custom)?;
        Ok(Self {
            specversion: it.specversion,
            id: it.id,
            source: it.source,
            kind: it.kind,
            subject: it.subject,
            time: it.time,
            datacontenttype: it.datacontenttype,
            dataschema: versions.dataschema(),
            sequence: it.sequence,
            correlationid: it.correlationid,
            causationid: it.causationid,
            traceparent: it.traceparent,
            data,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::data::InventoryLowStock;
    use super::*;
    use serde_json::json;

    #[test]
    fn the_envelope_is_what_cloudevents_1_0_asks_for() {
        let cause = Cause { correlation_id: "c".into(), ..Cause::default() };
        let data = Data::InventoryLowStock(InventoryLowStock {
            adjustment: None,
            available_quantity: 0,
            min_stock_level: 0,
            product_id: "TEA".parse().unwrap(),
            reorder_quantity: None,
        });
        let at = Timestamp::from_millis(0);
        let event = Event::raised("STOCK#TEA", "TEA".into(), 1, at, &cause, data);
        assert_eq!(
            serde_json::to_value(&event).unwrap(),
            json!({
                "specversion": "1.0", "id": "STOCK#TEA#1", "source": "/trackops.inventory",
                "type": "inventory.low_stock", "subject": "TEA", "time": "1970-01-01T00:00:00.000Z",
                "datacontenttype": "application/json", "sequence": 1, "correlationid": "c",
                "data": {"availableQuantity": 0, "minStockLevel": 0, "productId": "TEA", "reorderQuantity": null}
            })
        );
    }

    #[test]
    fn the_name_of_a_type_is_its_name_on_the_wire() {
        for kind in EventType::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
    }
}
