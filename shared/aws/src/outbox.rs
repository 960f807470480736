//! The publishing side of the outbox: what an item still has to tell, and forgetting it once it is told.

use aws_sdk_dynamodb::types::{AttributeValue, Select};
use serde::{Deserialize, Serialize};
use serde_dynamo::aws_sdk_dynamodb_1::{from_item, to_attribute_value};
use trackops_domain::event::EventType;
use trackops_domain::{Event, Timestamp};

use crate::aggregate::{Item, SHARDS, Table};
use crate::error::StoreError;

/// Appends `:raised`; the item stays in the index since its oldest event that is not published.
pub(crate) const APPEND: &str = "outbox = list_append(if_not_exists(outbox, :nothing), :raised), \
     unpublished = :shard, unpublished_since = if_not_exists(unpublished_since, :since)";

/// An event on its way: ready to be sent as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxEntry {
    pub id: String,
    #[serde(rename = "type")]
    pub kind: EventType,
    pub time: Timestamp,
    pub traceparent: Option<String>,
    /// The CloudEvent, structured JSON.
    pub body: String,
}

impl OutboxEntry {
    pub fn of(event: &Event) -> Result<Self, StoreError> {
        Ok(Self {
            id: event.id.clone(),
            kind: event.kind,
            time: event.time,
            traceparent: event.traceparent.clone(),
            body: serde_json::to_string(event).map_err(StoreError::corrupt)?,
        })
    }

    /// The id of the aggregate, as in `subject`; `None` when the event's id is not `<KIND>#<id>#<version>`.
    pub fn aggregate_id(&self) -> Option<&str> {
        let (key, _) = self.id.rsplit_once('#')?;
        key.split_once('#').map(|(_, id)| id).filter(|id| !id.is_empty())
    }
}

/// What an item of any table still has to tell, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Unpublished {
    pub pk: String,
    #[serde(default)]
    pub outbox: Vec<OutboxEntry>,
}

/// Entries read from an index at once.
const PAGE: i32 = 50;

/// Where to go on reading an index; the default is its beginning.
#[derive(Clone, Debug, Default)]
pub struct Page {
    after: Option<Item>,
}

/// The index partition of a key.
pub(crate) fn shard(key: &str) -> AttributeValue {
    AttributeValue::S((hash(key) % SHARDS).to_string())
}

/// FNV-1a, because it must be the same in every build for ever.
pub(crate) fn hash(key: &str) -> u32 {
    key.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

impl Table {
    /// What the item has to tell now; `None` when it has told everything.
    pub async fn unpublished(&self, key: &str) -> Result<Option<Unpublished>, StoreError> {
        let item: Option<Unpublished> = self.item(key).await?.map(from_item).transpose()?;
        Ok(item.filter(|item| !item.outbox.is_empty()))
    }

    /// Keys of items that have had something to tell since before `before`, oldest first, a page at a time.
    pub async fn unpublished_before(
        &self,
        shard: u32,
        before: Timestamp,
        page: Page,
    ) -> Result<(Vec<String>, Option<Page>), StoreError> {
        let (keys, next) =
            self.index("unpublished", "unpublished_since", shard, before, page).await?;
        Ok((keys.into_iter().map(|(key, _)| key).collect(), next))
    }

    /// A page of a sparse index: keys, each with its value of the range attribute.
    pub(crate) async fn index(
        &self,
        index: &str,
        range: &str,
        shard: u32,
        before: Timestamp,
        page: Page,
    ) -> Result<(Vec<(String, String)>, Option<Page>), StoreError> {
        let answer = self
            .client
            .query()
            .table_name(&self.name)
            .index_name(index)
            .key_condition_expression("#shard = :shard AND #range < :before")
            .expression_attribute_names("#shard", index)
            .expression_attribute_names("#range", range)
            .expression_attribute_values(":shard", AttributeValue::S(shard.to_string()))
            .expression_attribute_values(":before", AttributeValue::S(before.to_string()))
            .select(Select::AllProjectedAttributes)
            .limit(PAGE)
            .set_exclusive_start_key(page.after)
            .send()
            .await?;
        let text = |item: &Item, name: &str| match item.get(name) {
            Some(AttributeValue::S(text)) => Ok(text.clone()),
            _ => Err(StoreError::corrupt(format!("an entry of index {index} without {name}"))),
        };
        let entries = answer.items().iter().map(|item| Ok((text(item, "pk")?, text(item, range)?)));
        let entries = entries.collect::<Result<_, StoreError>>()?;
        Ok((entries, answer.last_evaluated_key.map(|after| Page { after: Some(after) })))
    }

    /// Those of these items (of at most 100 keys) that have something to tell, in any order.
    pub async fn outboxes(&self, keys: Vec<String>) -> Result<Vec<Unpublished>, StoreError> {
        let items = self.items(keys, true).await?.into_iter();
        let outboxes = items.map(|item| Ok(from_item::<Unpublished>(item)?));
        let outboxes: Vec<_> = outboxes.collect::<Result<_, StoreError>>()?;
        Ok(outboxes.into_iter().filter(|item| !item.outbox.is_empty()).collect())
    }

    /// The version of an item; `None` when it is not there.
    pub async fn version(&self, key: &str) -> Result<Option<u64>, StoreError> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u64,
        }
        let item: Option<Versioned> = self.item(key).await?.map(from_item).transpose()?;
        Ok(item.map(|item| item.version))
    }

    /// Forgets exactly the events that were published. When others were added meanwhile it leaves all of
    /// them: whoever publishes those publishes these again first, so the order holds.
    pub async fn trim(&self, published: &Unpublished) -> Result<(), StoreError> {
        self.forget(published, published.outbox.len()).await.map(drop)
    }

    /// Forgets the oldest `count` events of an outbox. When it is not as it was read it leaves all of them: false.
    pub async fn forget(&self, read: &Unpublished, count: usize) -> Result<bool, StoreError> {
        let Some(first) = read.outbox.first().filter(|_| count > 0) else { return Ok(true) };
        let length = AttributeValue::N(read.outbox.len().to_string());
        let update = self
            .client
            .update_item()
            .table_name(&self.name)
            .key("pk", AttributeValue::S(read.pk.clone()))
            .condition_expression("outbox[0].id = :first AND size(outbox) = :count")
            .expression_attribute_values(":first", AttributeValue::S(first.id.clone()))
            .expression_attribute_values(":count", length);
        let update = match read.outbox.get(count) {
            None => update.update_expression("REMOVE outbox, unpublished, unpublished_since"),
            Some(next) => update
                .update_expression("SET outbox = :rest, unpublished_since = :since")
                .expression_attribute_values(":rest", to_attribute_value(&read.outbox[count..])?)
                .expression_attribute_values(":since", AttributeValue::S(next.time.to_string())),
        };
        match update.send().await.map_err(StoreError::from) {
            Ok(_) => Ok(true),
            Err(StoreError::Stale) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aggregate_id(id: &str) -> Option<String> {
        let (kind, time) = (EventType::OrderCreated, Timestamp::from_millis(0));
        let (traceparent, body) = (None, String::new());
        let entry = OutboxEntry { id: id.into(), kind, time, traceparent, body };
        entry.aggregate_id().map(str::to_owned)
    }

    #[test]
    fn the_id_of_an_event_names_its_aggregate() {
        assert_eq!(aggregate_id("STOCK#TEA-1#12").as_deref(), Some("TEA-1"));
        for odd in ["", "STOCK", "STOCK#12", "STOCK##12"] {
            assert_eq!(aggregate_id(odd), None, "{odd:?}");
        }
    }
}
