//! What other services are told: CloudEvents 1.0 (<https://github.com/cloudevents/spec>), structured JSON.

use serde::{Deserialize, Serialize};
use serde_json::Value;

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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub specversion: String,
    /// `<aggregate>#<version>`: the same change always has the same id.
    pub id: String,
    pub source: String,
    #[serde(rename = "type")]
    pub kind: EventType,
    /// The id of the aggregate as the API shows it.
    pub subject: String,
    pub time: Timestamp,
    pub datacontenttype: String,
    /// The version of the aggregate after the change.
    pub sequence: u64,
    pub correlationid: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causationid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    pub data: Value,
}

impl Event {
    pub const SPEC_VERSION: &str = "1.0";

    /// The event that `aggregate` (its key, such as `ORDER#<id>`) raised by becoming version `sequence`.
    pub fn raised(
        kind: EventType,
        aggregate: &str,
        subject: String,
        sequence: u64,
        at: Timestamp,
        cause: &Cause,
        data: Value,
    ) -> Self {
        Self {
            specversion: Self::SPEC_VERSION.into(),
            id: format!("{aggregate}#{sequence}"),
            source: format!("/{}", kind.source()),
            kind,
            subject,
            time: at,
            datacontenttype: "application/json".into(),
            sequence,
            correlationid: cause.correlation_id.clone(),
            causationid: cause.causation_id.clone(),
            traceparent: cause.traceparent.clone(),
            data,
        }
    }

    /// The cause of whatever is done because of this event.
    pub fn as_cause(&self) -> Cause {
        Cause {
            correlation_id: self.correlationid.clone(),
            causation_id: Some(self.id.clone()),
            traceparent: self.traceparent.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_envelope_is_what_cloudevents_1_0_asks_for() {
        let cause = Cause { correlation_id: "c".into(), ..Cause::default() };
        let event = Event::raised(
            EventType::OrderCreated,
            "ORDER#1",
            "1".into(),
            1,
            Timestamp::from_millis(0),
            &cause,
            json!({"a": 1}),
        );
        assert_eq!(
            serde_json::to_value(&event).unwrap(),
            json!({
                "specversion": "1.0", "id": "ORDER#1#1", "source": "/trackops.orders",
                "type": "order.created", "subject": "1", "time": "1970-01-01T00:00:00.000Z",
                "datacontenttype": "application/json", "sequence": 1, "correlationid": "c",
                "data": {"a": 1}
            })
        );
    }

    #[test]
    fn the_name_of_a_type_is_its_name_on_the_wire() {
        for kind in
            [EventType::OrderCreated, EventType::InventoryLowStock, EventType::PaymentRefunded]
        {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
    }
}
