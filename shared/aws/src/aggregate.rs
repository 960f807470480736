//! One aggregate, one item, and the item is its own outbox.
//!
//! Every change is one conditional write: it checks and increments `version`, appends the event it raises
//! to `outbox`, and puts the item in the sparse `unpublished` index until the relay has published it.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes, Put, Update};
use aws_types::SdkConfig;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_dynamo::aws_sdk_dynamodb_1::to_item;
use trackops_domain::{Event, Schema, Timestamp};

use crate::clients;
use crate::error::StoreError;
use crate::outbox::{self, OutboxEntry};
use crate::retry;
use crate::stored::{self, Unreadable, read};

pub type Item = HashMap<String, AttributeValue>;

/// Partitions of the `unpublished` and `due` indexes. One index partition takes 1,000 writes a second
/// ("Partitions and data distribution", DynamoDB Developer Guide); eight keep it from being the limit.
pub const SHARDS: u32 = 8;

/// How many keys a BatchGetItem takes. Source: "BatchGetItem", DynamoDB API reference.
pub(crate) const BATCH: usize = 100;

pub trait Aggregate: Serialize + DeserializeOwned + Clone {
    /// The newest shape that this version reads, and the one that it writes.
    const SCHEMA: Schema = Schema::FIRST;

    /// The partition key: `<KIND>#<id>`.
    fn key(&self) -> String;
    /// 1 when created, one more with every change.
    fn version(&self) -> u64;
    /// The shape in which it is stored.
    fn schema(&self) -> Schema;
    fn updated_at(&self) -> Timestamp;
    /// The events of the newest change, oldest first. If there are several, each has a version of its own, and the last
    /// event has the version of the aggregate.
    fn events(&self) -> Vec<Event>;
    /// Attributes of further indexes, written when the item is created and never again.
    fn index_keys(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }
    /// When somebody has to look at the item. While this is `Some`, the item is in the `due` index.
    fn due_at(&self) -> Option<Timestamp> {
        None
    }
}

/// What a decision wants to write.
#[derive(Debug)]
pub enum Write<T> {
    /// Nothing has to be written: the item is already as it should be.
    Nothing(T),
    Create(T),
    Replace(T),
}

#[derive(Clone, Debug)]
pub struct Table {
    pub(crate) client: Client,
    pub(crate) name: String,
}

impl Table {
    pub fn at(config: &SdkConfig, name: String) -> Self {
        Self { client: Client::new(config), name }
    }

    /// The table, with its connection opened during the cold start so that no request waits for it. If the table does
    /// not answer now, the function still starts, and the request reports the trouble. A function that does not start
    /// would lead to wrong decisions.
    pub async fn connect(config: &SdkConfig, name: String) -> Self {
        let table = Self::at(config, name);
        clients::warm_up("the table", table.check()).await;
        table
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the table can be read.
    pub async fn check(&self) -> Result<(), StoreError> {
        self.item("WARM#UP").await.map(drop)
    }

    pub(crate) async fn item(&self, key: &str) -> Result<Option<Item>, StoreError> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.name)
            .key("pk", AttributeValue::S(key.to_owned()))
            .consistent_read(true)
            .send()
            .await?;
        Ok(answer.item)
    }

    /// The items with these keys (at most [`BATCH`]) that exist, in any order.
    pub(crate) async fn items(
        &self,
        keys: Vec<String>,
        consistent: bool,
    ) -> Result<Vec<Item>, StoreError> {
        self.projected(keys, consistent, None).await
    }

    /// The same, but only these attributes of each item.
    pub(crate) async fn projected(
        &self,
        keys: Vec<String>,
        consistent: bool,
        attributes: Option<&str>,
    ) -> Result<Vec<Item>, StoreError> {
        let key = |key| Item::from([("pk".to_owned(), AttributeValue::S(key))]);
        let mut wanted: Vec<Item> = keys.into_iter().map(key).collect();
        let mut found = Vec::with_capacity(wanted.len());
        for attempt in 0..retry::TRIES {
            if wanted.is_empty() {
                return Ok(found);
            }
            if attempt > 0 {
                retry::back_off(attempt).await;
            }
            let keys = KeysAndAttributes::builder()
                .set_keys(Some(wanted))
                .consistent_read(consistent)
                .set_projection_expression(attributes.map(str::to_owned))
                .build()
                .map_err(StoreError::corrupt)?;
            let answer = self.client.batch_get_item().request_items(&self.name, keys);
            let mut answer = answer.send().await?;
            let items = answer.responses.as_mut().and_then(|all| all.remove(&self.name));
            found.extend(items.unwrap_or_default());
            let left = answer.unprocessed_keys.as_mut().and_then(|all| all.remove(&self.name));
            wanted = left.map(|left| left.keys).unwrap_or_default();
        }
        Err(StoreError::Busy("DynamoDB left keys of a batch unread".into()))
    }

    /// Consistent: a load after a write sees the write.
    pub async fn load<T: Aggregate>(&self, key: &str) -> Result<Option<T>, StoreError> {
        self.item(key).await?.map(|item| read(item, T::SCHEMA)).transpose()
    }

    /// The aggregates with these keys that exist, in any order. An aggregate that cannot be read does not hide the
    /// others.
    pub(crate) async fn load_all<T: Aggregate>(
        &self,
        keys: Vec<String>,
        consistent: bool,
    ) -> Result<(Vec<T>, Unreadable), StoreError> {
        let (mut found, mut unreadable) = (Vec::with_capacity(keys.len()), Unreadable::default());
        for keys in keys.chunks(BATCH) {
            let items = self.items(keys.to_vec(), consistent).await?;
            found.extend(items.into_iter().filter_map(|it| unreadable.or_read(it, T::SCHEMA)));
        }
        Ok((found, unreadable))
    }

    /// `Stale` when the key is taken.
    pub async fn create<T: Aggregate>(&self, new: &T) -> Result<(), StoreError> {
        self.client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(new_item(new)?))
            .condition_expression("attribute_not_exists(pk)")
            .send()
            .await?;
        Ok(())
    }

    /// `Stale` when the stored version is not the version of `read`, from which `next` was made.
    pub async fn replace<T: Aggregate>(&self, read: &T, next: &T) -> Result<(), StoreError> {
        let change = Change::of(read, next)?;
        self.client
            .update_item()
            .table_name(&self.name)
            .key("pk", AttributeValue::S(next.key()))
            .update_expression(change.update)
            .condition_expression(Change::CONDITION)
            .set_expression_attribute_names(Some(change.names))
            .set_expression_attribute_values(Some(change.values))
            .send()
            .await?;
        Ok(())
    }

    /// Loads, decides, writes. It starts again when somebody else was faster, and a little later when the table is
    /// busy. It returns what is stored.
    pub async fn decide<T: Aggregate, E: From<StoreError>>(
        &self,
        key: &str,
        decide: impl Fn(Option<T>) -> Result<Write<T>, E>,
    ) -> Result<T, E> {
        let mut attempt = 0;
        loop {
            let read: Option<T> = self.load(key).await?;
            let (written, value) = match decide(read.clone())? {
                Write::Nothing(value) => return Ok(value),
                Write::Create(value) => (self.create(&value).await, value),
                Write::Replace(value) => {
                    let read = read.ok_or_else(|| StoreError::corrupt("nothing to replace"))?;
                    (self.replace(&read, &value).await, value)
                }
            };
            match written {
                Ok(()) => return Ok(value),
                Err(StoreError::Stale | StoreError::Busy(_)) if attempt < retry::TRIES => {
                    retry::back_off(attempt).await;
                    attempt += 1;
                }
                Err(StoreError::Stale) => {
                    return Err(StoreError::Busy("too many others write this item".into()).into());
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    pub(crate) fn put_action<T: Aggregate>(&self, new: &T) -> Result<Put, StoreError> {
        Put::builder()
            .table_name(&self.name)
            .set_item(Some(new_item(new)?))
            .condition_expression("attribute_not_exists(pk)")
            .build()
            .map_err(StoreError::corrupt)
    }

    pub(crate) fn replace_action<T: Aggregate>(
        &self,
        read: &T,
        next: &T,
    ) -> Result<Update, StoreError> {
        let change = Change::of(read, next)?;
        Update::builder()
            .table_name(&self.name)
            .key("pk", AttributeValue::S(next.key()))
            .update_expression(change.update)
            .condition_expression(Change::CONDITION)
            .set_expression_attribute_names(Some(change.names))
            .set_expression_attribute_values(Some(change.values))
            .build()
            .map_err(StoreError::corrupt)
    }
}

fn new_item<T: Aggregate>(new: &T) -> Result<Item, StoreError> {
    let mut item: Item = to_item(new)?;
    item.retain(|_, value| !value.is_null());
    item.insert("pk".into(), AttributeValue::S(new.key()));
    item.insert(stored::SCHEMA.into(), stored::schema(T::SCHEMA));
    let index_keys = new.index_keys().into_iter();
    item.extend(index_keys.map(|(name, key)| (name.to_owned(), AttributeValue::S(key))));
    if let Some(at) = new.due_at() {
        item.insert("due".into(), outbox::shard(&new.key()));
        item.insert("due_at".into(), AttributeValue::S(at.to_string()));
    }
    let events = new.events();
    if !events.is_empty() {
        item.insert("outbox".into(), outbox_list(&events)?);
        item.insert("unpublished".into(), outbox::shard(&new.key()));
        item.insert("unpublished_since".into(), AttributeValue::S(new.updated_at().to_string()));
    }
    Ok(item)
}

fn outbox_list(events: &[Event]) -> Result<AttributeValue, StoreError> {
    let entry = |event| Ok(AttributeValue::M(to_item(OutboxEntry::of(event)?)?));
    Ok(AttributeValue::L(events.iter().map(entry).collect::<Result<_, StoreError>>()?))
}

/// An update expression that sets only attributes that have changed since they were read. All other attributes stay as
/// they are stored: the outbox belongs to the relay, and a newer version may have stored something that this version
/// does not know, also in a list that grows.
struct Change {
    update: String,
    names: HashMap<String, String>,
    values: Item,
}

impl Change {
    const CONDITION: &str = "#version = :expected";

    fn of<T: Aggregate>(read: &T, next: &T) -> Result<Self, StoreError> {
        let (mut sets, mut removes) = (Vec::new(), Vec::new());
        let mut names = HashMap::new();
        let mut values = HashMap::new();
        let mut before: Item = to_item(read)?;
        let mut after: Item = to_item(next)?;
        after.insert(stored::SCHEMA.into(), stored::schema(read.schema().max(T::SCHEMA)));
        for name in before.keys() {
            // This attribute is left out of the item when it is empty.
            after.entry(name.clone()).or_insert(AttributeValue::Null(true));
        }
        for (index, (name, value)) in after.into_iter().enumerate() {
            let was = before.remove(&name).filter(|value| !value.is_null());
            let placeholder =
                if name == "version" { "version".into() } else { format!("a{index}") };
            if was.as_ref() == Some(&value) || (was.is_none() && value.is_null()) {
                continue;
            }
            let (name_of, value_of) = (format!("#{placeholder}"), format!(":{placeholder}"));
            if value.is_null() {
                removes.push(name_of.clone());
            } else if let Some(items) = appended(was.as_ref(), &value) {
                sets.push(format!("{name_of} = list_append({name_of}, {value_of})"));
                values.insert(value_of, items);
            } else {
                sets.push(format!("{name_of} = {value_of}"));
                values.insert(value_of, value);
            }
            names.insert(name_of, name);
        }
        values.insert(":expected".into(), AttributeValue::N(read.version().to_string()));
        let events = next.events();
        match next.due_at() {
            Some(at) => {
                sets.push("due = :due, due_at = :due_at".into());
                values.insert(":due".into(), outbox::shard(&next.key()));
                values.insert(":due_at".into(), AttributeValue::S(at.to_string()));
            }
            None => removes.push("due, due_at".into()),
        }
        if !events.is_empty() {
            sets.push(outbox::APPEND.into());
            outbox_values(&next.key(), &events, &mut values)?;
        }
        let update = format!("SET {} REMOVE {}", sets.join(", "), removes.join(", "));
        let update = update.trim_end_matches(" REMOVE ").to_owned();
        Ok(Self { update, names, values })
    }
}

/// The entries that were appended to a list, if the rest of the list is unchanged.
fn appended(was: Option<&AttributeValue>, value: &AttributeValue) -> Option<AttributeValue> {
    let (was, value) = (was?.as_l().ok()?, value.as_l().ok()?);
    let items = value.strip_prefix(was.as_slice()).filter(|_| !was.is_empty())?;
    Some(AttributeValue::L(items.to_vec()))
}

/// `events` are the newest events, the oldest of them first.
pub(crate) fn outbox_values(
    key: &str,
    events: &[Event],
    values: &mut Item,
) -> Result<(), StoreError> {
    values.insert(":raised".into(), outbox_list(events)?);
    values.insert(":nothing".into(), AttributeValue::L(Vec::new()));
    values.insert(":shard".into(), outbox::shard(key));
    let since = events.first().map(|event| AttributeValue::S(event.time.to_string()));
    values.extend(since.map(|since| (":since".into(), since)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canned::{Canned, error};

    #[tokio::test]
    async fn a_table_that_is_down_at_a_cold_start_is_for_the_first_request_to_meet() {
        let told = (500, error("InternalServerError"));
        let dynamodb = Canned::answering([told.clone(), told]);
        let table = Table::connect(&dynamodb.config(), "table".into()).await;
        let met = table.check().await;
        assert!(matches!(met, Err(StoreError::Busy(_))), "{met:?}");
    }
}
