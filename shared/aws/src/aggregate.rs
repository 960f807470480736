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
use serde_dynamo::aws_sdk_dynamodb_1::{from_item, to_item};
use trackops_domain::{Event, Timestamp};

use crate::error::StoreError;
use crate::outbox::{self, OutboxEntry};
use crate::retry;

pub type Item = HashMap<String, AttributeValue>;

/// Partitions of the `unpublished` and `due` indexes. One index partition takes 1,000 writes a second
/// ("Partitions and data distribution", DynamoDB Developer Guide); eight keep it from being the limit.
pub const SHARDS: u32 = 8;

/// Keys a BatchGetItem takes. Source: "BatchGetItem", DynamoDB API reference.
pub(crate) const BATCH: usize = 100;

pub trait Aggregate: Serialize + DeserializeOwned + Clone {
    /// The partition key: `<KIND>#<id>`.
    fn key(&self) -> String;
    /// 1 when created, one more with every change.
    fn version(&self) -> u64;
    fn updated_at(&self) -> Timestamp;
    /// The event of the newest change.
    fn event(&self) -> Option<Event>;
    /// Attributes of further indexes, written when the item is created and never again.
    fn index_keys(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }
    /// Puts the item in the `due` index while somebody has to look at it by then.
    fn due_at(&self) -> Option<Timestamp> {
        None
    }
}

/// What a decision wants written.
#[derive(Debug)]
pub enum Write<T> {
    /// It is as it should be.
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

    /// The table, with its connection opened during the cold start so that no request waits for it.
    pub async fn connect(config: &SdkConfig, name: String) -> Result<Self, StoreError> {
        let table = Self::at(config, name);
        table.check().await?;
        Ok(table)
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

    /// Those items (of at most [`BATCH`] keys) that are there, in any order.
    pub(crate) async fn items(
        &self,
        keys: Vec<String>,
        consistent: bool,
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
        Ok(self.item(key).await?.map(from_item).transpose()?)
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

    /// `Stale` when the stored version is not the one before `next`.
    pub async fn replace<T: Aggregate>(&self, next: &T) -> Result<(), StoreError> {
        let change = Change::to(next)?;
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

    /// Loads, decides, writes; from the start again when somebody else was faster, a little later when the
    /// table is busy. What it returns is what is stored.
    pub async fn decide<T: Aggregate, E: From<StoreError>>(
        &self,
        key: &str,
        decide: impl Fn(Option<T>) -> Result<Write<T>, E>,
    ) -> Result<T, E> {
        let mut attempt = 0;
        loop {
            let (written, value) = match decide(self.load(key).await?)? {
                Write::Nothing(value) => return Ok(value),
                Write::Create(value) => (self.create(&value).await, value),
                Write::Replace(value) => (self.replace(&value).await, value),
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

    pub(crate) fn replace_action<T: Aggregate>(&self, next: &T) -> Result<Update, StoreError> {
        let change = Change::to(next)?;
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
    let index_keys = new.index_keys().into_iter();
    item.extend(index_keys.map(|(name, key)| (name.to_owned(), AttributeValue::S(key))));
    if let Some(at) = new.due_at() {
        item.insert("due".into(), outbox::shard(&new.key()));
        item.insert("due_at".into(), AttributeValue::S(at.to_string()));
    }
    if let Some(event) = new.event() {
        item.insert("outbox".into(), outbox_list(&event)?);
        item.insert("unpublished".into(), outbox::shard(&new.key()));
        item.insert("unpublished_since".into(), AttributeValue::S(new.updated_at().to_string()));
    }
    Ok(item)
}

fn outbox_list(event: &Event) -> Result<AttributeValue, StoreError> {
    let entry: Item = to_item(OutboxEntry::of(event)?)?;
    Ok(AttributeValue::L(vec![AttributeValue::M(entry)]))
}

/// An update expression that sets every attribute of the aggregate but leaves what the outbox already
/// holds to the relay.
struct Change {
    update: String,
    names: HashMap<String, String>,
    values: Item,
}

impl Change {
    const CONDITION: &str = "#version = :expected";

    fn to<T: Aggregate>(next: &T) -> Result<Self, StoreError> {
        let (mut sets, mut removes) = (Vec::new(), Vec::new());
        let mut names = HashMap::new();
        let mut values = HashMap::new();
        for (index, (name, value)) in to_item(next)?.into_iter().enumerate() {
            let placeholder =
                if name == "version" { "version".into() } else { format!("a{index}") };
            names.insert(format!("#{placeholder}"), name);
            if value.is_null() {
                removes.push(format!("#{placeholder}"));
            } else {
                sets.push(format!("#{placeholder} = :{placeholder}"));
                values.insert(format!(":{placeholder}"), value);
            }
        }
        values.insert(":expected".into(), AttributeValue::N((next.version() - 1).to_string()));
        match next.due_at() {
            Some(at) => {
                sets.push("due = :due, due_at = :due_at".into());
                values.insert(":due".into(), outbox::shard(&next.key()));
                values.insert(":due_at".into(), AttributeValue::S(at.to_string()));
            }
            None => removes.push("due, due_at".into()),
        }
        if let Some(event) = next.event() {
            sets.push(outbox::APPEND.into());
            outbox_values(&next.key(), &event, &mut values)?;
        }
        let update = format!("SET {} REMOVE {}", sets.join(", "), removes.join(", "));
        let update = update.trim_end_matches(" REMOVE ").to_owned();
        Ok(Self { update, names, values })
    }
}

pub(crate) fn outbox_values(key: &str, event: &Event, values: &mut Item) -> Result<(), StoreError> {
    values.insert(":raised".into(), outbox_list(event)?);
    values.insert(":nothing".into(), AttributeValue::L(Vec::new()));
    values.insert(":shard".into(), outbox::shard(key));
    values.insert(":since".into(), AttributeValue::S(event.time.to_string()));
    Ok(())
}
