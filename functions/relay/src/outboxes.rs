//! The tables whose outboxes the relay empties, and which table an event is in.

use std::fmt::Display;
use std::str::FromStr;

use aws_types::SdkConfig;
use serde::Serialize;
use serde::de::value::Error as NoSuchType;
use serde::de::{Deserialize, IntoDeserializer};
use trackops_aws::aggregate::Table;
use trackops_domain::event::EventType;
use trackops_domain::{OrderId, Sku};
use trackops_lambda::config::{ConfigError, env};
use trackops_lambda::fields::Advice;

/// A service that raises events, by the name that its events have for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Source {
    #[serde(rename = "trackops.orders")]
    Orders,
    #[serde(rename = "trackops.inventory")]
    Inventory,
    #[serde(rename = "trackops.payments")]
    Payments,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be trackops.orders, trackops.inventory or trackops.payments")]
pub struct BadSource;

impl Advice for BadSource {}

impl Source {
    /// In the order of `TABLES`.
    pub const ALL: [Self; 3] = [Self::Orders, Self::Inventory, Self::Payments];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Orders => "trackops.orders",
            Self::Inventory => "trackops.inventory",
            Self::Payments => "trackops.payments",
        }
    }

    /// The service whose aggregate has this key.
    pub fn of_aggregate(key: &str) -> Option<Self> {
        let (kind, id) = key.split_once('#')?;
        let is_order = || id.parse::<OrderId>().is_ok();
        match kind {
            "ORDER" if is_order() => Some(Self::Orders),
            "PAY" if is_order() => Some(Self::Payments),
            "RES" if is_order() => Some(Self::Inventory),
            "STOCK" if Sku::try_from(id.to_owned()).is_ok() => Some(Self::Inventory),
            _ => None,
        }
    }
}

impl FromStr for Source {
    type Err = BadSource;

    fn from_str(text: &str) -> Result<Self, BadSource> {
        Self::ALL.into_iter().find(|source| source.name() == text).ok_or(BadSource)
    }
}

/// An event type that a caller names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Kind(pub EventType);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be the type of an event, such as order.created")]
pub struct BadKind;

impl Advice for BadKind {}

impl FromStr for Kind {
    type Err = BadKind;

    fn from_str(text: &str) -> Result<Self, BadKind> {
        let kind: Result<_, NoSuchType> = EventType::deserialize(text.into_deserializer());
        kind.map(Self).map_err(|_| BadKind)
    }
}

/// Names an event: `<aggregate>#<version>`, such as `ORDER#<order id>#2`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventId {
    pub aggregate: String,
    pub version: u64,
    pub source: Source,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be the id of an event, such as ORDER#<order id>#2")]
pub struct BadEventId;

impl Advice for BadEventId {}

impl FromStr for EventId {
    type Err = BadEventId;

    fn from_str(text: &str) -> Result<Self, BadEventId> {
        let (aggregate, digits) = text.rsplit_once('#').ok_or(BadEventId)?;
        let version: u64 = digits.parse().map_err(|_| BadEventId)?;
        // Each version has only one spelling. An entry of an outbox that has no id gets version 0.
        if version.to_string() != digits {
            return Err(BadEventId);
        }
        let source = Source::of_aggregate(aggregate).ok_or(BadEventId)?;
        Ok(Self { aggregate: aggregate.to_owned(), version, source })
    }
}

impl Display for EventId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}#{}", self.aggregate, self.version)
    }
}

/// The tables that have outboxes.
pub struct Outboxes([Table; 3]);

impl Outboxes {
    /// The tables that `TABLES` names, separated by commas: orders, inventory, payments.
    pub fn from_env(config: &SdkConfig) -> Result<Self, ConfigError> {
        let names = env("TABLES")?;
        let tables: Vec<_> =
            names.split(',').map(|name| Table::at(config, name.to_owned())).collect();
        let three = || ConfigError::new("TABLES", "must name the tables of three services");
        Ok(Self(tables.try_into().map_err(|_| three())?))
    }

    pub const fn all(&self) -> &[Table] {
        &self.0
    }

    pub const fn of(&self, source: Source) -> &Table {
        let [orders, inventory, payments] = &self.0;
        match source {
            Source::Orders => orders,
            Source::Inventory => inventory,
            Source::Payments => payments,
        }
    }

    /// The tables of one service, or of all services.
    pub fn some(&self, source: Option<Source>) -> Vec<&Table> {
        source.map_or_else(|| self.0.iter().collect(), |source| vec![self.of(source)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: &str = "019f8c11-3a52-7c60-9d0e-5b7a1f2c4e68";

    #[test]
    fn an_event_is_in_the_outbox_of_the_service_that_raised_it() {
        for (aggregate, source) in [
            (format!("ORDER#{ORDER}"), Source::Orders),
            (format!("RES#{ORDER}"), Source::Inventory),
            ("STOCK#TEA-SENCHA-100".to_owned(), Source::Inventory),
            (format!("PAY#{ORDER}"), Source::Payments),
        ] {
            let id: EventId = format!("{aggregate}#12").parse().unwrap();
            assert_eq!(id, EventId { aggregate, version: 12, source });
        }
    }

    #[test]
    fn what_names_no_event_is_refused() {
        for odd in [
            "",
            "1",
            &format!("ORDER#{ORDER}"),
            &format!("ORDER#{ORDER}#+1"),
            &format!("ORDER#{ORDER}#01"),
            &format!("ORDER#{ORDER}#18446744073709551616"),
            "ORDER#7#1",
            &format!("order#{ORDER}#1"),
            "PRODUCT#TEA#1",
            "STOCK#TEA BAG#1",
            "STOCK##1",
        ] {
            assert_eq!(odd.parse::<EventId>(), Err(BadEventId), "{odd}");
        }
    }

    #[test]
    fn sources_and_types_are_read_by_their_names_on_the_wire() {
        for source in Source::ALL {
            assert_eq!(source.name().parse(), Ok(source));
            assert_eq!(serde_json::to_value(source).unwrap(), source.name());
        }
        assert_eq!("orders".parse::<Source>(), Err(BadSource));
        assert_eq!("order.created".parse(), Ok(Kind(EventType::OrderCreated)));
        assert_eq!("OrderCreated".parse::<Kind>(), Err(BadKind));
    }
}
