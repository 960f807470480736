//! Reading stored items, also those that a newer version of this code wrote (docs/decisions/0034-schema-versions.md).

use aws_sdk_dynamodb::types::AttributeValue;
use serde::de::DeserializeOwned;
use serde_dynamo::aws_sdk_dynamodb_1::from_item;
use trackops_domain::Schema;

use crate::aggregate::Item;
use crate::error::StoreError;

/// The attribute that says which version of its shape an item has.
pub(crate) const SCHEMA: &str = "schema";

/// A newer version wrote the item, and it has something that this version does not know.
#[derive(Debug, thiserror::Error)]
#[error("{key} has schema {stored}, and this version of TrackOps knows {known}")]
struct Newer {
    key: String,
    stored: Schema,
    known: Schema,
    source: serde_dynamo::Error,
}

/// A page of a list, and where the list goes on; `None` at its end. A list may go on after a short page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T, P> {
    pub found: Vec<T>,
    pub unreadable: Unreadable,
    pub next: Option<P>,
}

/// Keys of the items of a list or a sum that cannot be read. Each was logged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unreadable(pub Vec<String>);

impl Unreadable {
    /// The ids: the keys without the kind that they begin with.
    pub fn ids(&self) -> Vec<&str> {
        self.0.iter().map(|key| key.split_once('#').map_or(key.as_str(), |(_, id)| id)).collect()
    }

    /// The item, or `None` when it cannot be read. Then its key is noted, and the other items can still be read.
    pub(crate) fn or_read<T: DeserializeOwned>(&mut self, item: Item, known: Schema) -> Option<T> {
        let key = key_of(&item);
        match read(item, known) {
            Ok(read) => Some(read),
            Err(error) => {
                tracing::error!(key, error = ?error, "an item cannot be read");
                self.0.push(key);
                None
            }
        }
    }
}

/// The item, if it can be read. `Busy` when a newer version wrote something that this version cannot judge: the newer
/// version can, and after an update we may too. `Corrupt` when no version can read it.
pub(crate) fn read<T: DeserializeOwned>(item: Item, known: Schema) -> Result<T, StoreError> {
    let (key, stored) = (key_of(&item), schema_of(&item)?);
    from_item(item).map_err(|source| {
        if stored > known {
            StoreError::Busy(Box::new(Newer { key, stored, known, source }))
        } else {
            StoreError::corrupt(source)
        }
    })
}

pub(crate) fn schema_of(item: &Item) -> Result<Schema, StoreError> {
    match item.get(SCHEMA) {
        None => Ok(Schema::default()),
        Some(AttributeValue::N(number)) => number.parse().map(Schema).map_err(StoreError::corrupt),
        Some(_) => Err(StoreError::corrupt("the schema of an item is no number")),
    }
}

pub(crate) fn schema(version: Schema) -> AttributeValue {
    AttributeValue::N(version.to_string())
}

fn key_of(item: &Item) -> String {
    match item.get("pk") {
        Some(AttributeValue::S(key)) => key.clone(),
        _ => "an item without a key".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trackops_domain::payment::PaymentState;

    #[derive(Debug, serde::Deserialize)]
    struct Stored {
        state: PaymentState,
    }

    fn item(schema: Option<AttributeValue>, state: &str) -> Item {
        let text = |text: &str| AttributeValue::S(text.into());
        let mut item = Item::from([("pk".into(), text("PAY#1")), ("state".into(), text(state))]);
        item.insert("added_later".into(), AttributeValue::Bool(true));
        item.extend(schema.map(|schema| (SCHEMA.to_owned(), schema)));
        item
    }

    fn stored(schema: Option<u32>, state: &str) -> Result<PaymentState, StoreError> {
        let item = item(schema.map(|number| self::schema(Schema(number))), state);
        read::<Stored>(item, Schema(2)).map(|read| read.state)
    }

    #[test]
    fn what_a_newer_version_wrote_is_read_as_far_as_it_can_be_and_never_taken_for_broken() {
        for schema in [None, Some(1), Some(2), Some(3), Some(u32::MAX)] {
            assert_eq!(stored(schema, "PAID").unwrap(), PaymentState::Paid, "{schema:?}");
        }
        for schema in [Some(3), Some(u32::MAX)] {
            let unknown = stored(schema, "DISPUTED");
            assert!(matches!(unknown, Err(StoreError::Busy(_))), "{schema:?}: {unknown:?}");
        }
    }

    #[test]
    fn what_no_version_can_have_written_pages_someone() {
        for schema in [None, Some(1), Some(2)] {
            let broken = stored(schema, "DISPUTED");
            assert!(matches!(broken, Err(StoreError::Corrupt(_))), "{schema:?}: {broken:?}");
        }
        for odd in [AttributeValue::S("3".into()), AttributeValue::N("-1".into())] {
            let broken = read::<Stored>(item(Some(odd), "PAID"), Schema(2));
            assert!(matches!(broken, Err(StoreError::Corrupt(_))), "{broken:?}");
        }
    }

    #[test]
    fn one_item_that_cannot_be_read_is_named_and_keeps_no_other_from_being_read() {
        let mut unreadable = Unreadable::default();
        let items =
            ["PAID", "DISPUTED", "VOIDED"].map(|state| item(Some(schema(Schema(3))), state));
        let read: Vec<_> = items
            .into_iter()
            .filter_map(|item| unreadable.or_read::<Stored>(item, Schema(2)))
            .map(|read| read.state)
            .collect();
        assert_eq!(read, [PaymentState::Paid, PaymentState::Voided]);
        assert_eq!(unreadable.0, ["PAY#1"]);
    }
}
