//! Versions of an event type: the name of each version on the wire, and how an old version is read.

use serde::de::Error as _;
use serde_json::{Error, Value};

use super::EventType;

/// Takes the data of one version to the next.
pub(super) type Upcast = fn(Value) -> Result<Value, Error>;

/// All versions that a type has ever had.
pub(super) struct Versions {
    pub(super) kind: &'static str,
    /// From version 1 to 2, from 2 to 3, and so on.
    pub(super) upcasts: &'static [Upcast],
}

impl EventType {
    /// A new version is one more step here; docs/events.md says what else it needs.
    pub(super) const fn versions(self) -> Versions {
        let upcasts: &[Upcast] = match self {
            Self::OrderCreated
            | Self::OrderStatusUpdated
            | Self::InventoryItemUpdated
            | Self::InventoryReserved
            | Self::InventoryReservationFailed
            | Self::InventoryReleased
            | Self::InventoryLowStock
            | Self::PaymentProcessed
            | Self::PaymentFailed
            | Self::PaymentRefunded => &[],
        };
        Versions { kind: self.name(), upcasts }
    }

    /// The version that is raised now, from 1 on.
    pub const fn version(self) -> usize {
        self.versions().newest()
    }
}

impl Versions {
    pub(super) const fn newest(&self) -> usize {
        self.upcasts.len() + 1
    }

    /// The `dataschema` of the newest version. The first version has none, because it is older than versions.
    pub(super) fn dataschema(&self) -> Option<String> {
        (self.newest() > 1).then(|| format!("{}{}", self.prefix(), self.newest()))
    }

    /// Turns `data` of the version that `dataschema` names into data of the newest version.
    pub(super) fn upcast(&self, dataschema: Option<&str>, data: Value) -> Result<Value, Error> {
        let version = match dataschema {
            None => Some(1),
            Some(name) => name.strip_prefix(&self.prefix()).and_then(|number| number.parse().ok()),
        };
        let steps = version.and_then(|version: usize| self.upcasts.get(version.checked_sub(1)?..));
        let unknown = || Error::custom(format!("{dataschema:?} is no version of {}", self.kind));
        steps.ok_or_else(unknown)?.iter().try_fold(data, |data, upcast| upcast(data))
    }

    fn prefix(&self) -> String {
        format!("urn:trackops:{}:", self.kind)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A thing that was `{"name"}`, then `{"title"}`, and has a colour since version 3.
    const THING: Versions = Versions { kind: "test.thing", upcasts: &[titled, coloured] };

    fn titled(mut thing: Value) -> Result<Value, Error> {
        let name = thing["name"].as_str().ok_or_else(|| Error::custom("a thing without a name"))?;
        thing = json!({"title": name});
        Ok(thing)
    }

    fn coloured(mut thing: Value) -> Result<Value, Error> {
        thing["colour"] = json!("grey");
        Ok(thing)
    }

    #[test]
    fn every_version_is_read_as_the_newest() {
        let newest = json!({"title": "Cup", "colour": "grey"});
        for (dataschema, data) in [
            (None, json!({"name": "Cup"})),
            (Some("urn:trackops:test.thing:1"), json!({"name": "Cup"})),
            (Some("urn:trackops:test.thing:2"), json!({"title": "Cup"})),
            (Some("urn:trackops:test.thing:3"), newest.clone()),
        ] {
            assert_eq!(THING.upcast(dataschema, data).unwrap(), newest, "{dataschema:?}");
        }
    }

    #[test]
    fn what_is_no_version_of_it_is_refused() {
        for dataschema in [
            "urn:trackops:test.thing:4",
            "urn:trackops:test.thing:0",
            "urn:trackops:test.thing:",
            "urn:trackops:test.other:1",
            "https://example.com/thing",
        ] {
            assert!(
                THING.upcast(Some(dataschema), json!({"name": "Cup"})).is_err(),
                "{dataschema}"
            );
        }
        assert!(THING.upcast(None, json!({"title": "Cup"})).is_err(), "a step that fails is told");
    }

    #[test]
    fn only_the_first_version_goes_without_its_name() {
        assert_eq!(THING.dataschema().as_deref(), Some("urn:trackops:test.thing:3"));
        assert_eq!(Versions { kind: "test.thing", upcasts: &[] }.dataschema(), None);
    }
}
