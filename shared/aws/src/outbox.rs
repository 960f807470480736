//! The publishing side of the outbox: which events an item still has to publish, and removing them after they are
//! published.
//!
//! The events that wait here were committed, perhaps by a newer version of this code. So they are read tolerantly: an
//! event of an unknown type is published as it is, and an entry that makes no sense holds up only its own item.

use std::borrow::Cow;
use std::fmt;

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::{
    AttributeValue, BatchStatementError, BatchStatementErrorCodeEnum, BatchStatementRequest, Select,
};
use futures::future::join_all;
use serde::de::value::Error as NoSuchType;
use serde::de::{IntoDeserializer, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_dynamo::aws_sdk_dynamodb_1::{from_attribute_value, from_item, to_attribute_value};
use trackops_domain::event::EventType;
use trackops_domain::{Event, Timestamp};

use crate::aggregate::{BATCH, Item, SHARDS, Table};
use crate::error::StoreError;
use crate::retry;

/// Appends `:raised`; the item stays in the index since its oldest event that is not published.
pub(crate) const APPEND: &str = "outbox = list_append(if_not_exists(outbox, :nothing), :raised), \
     unpublished = :shard, unpublished_since = if_not_exists(unpublished_since, :since)";

/// An event on its way: ready to be sent as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxEntry {
    pub id: String,
    #[serde(rename = "type")]
    pub kind: Kind,
    pub time: Timestamp,
    pub traceparent: Option<String>,
    /// The CloudEvent, structured JSON.
    pub body: String,
}

/// The type of a stored event, by its name on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Known(EventType),
    /// A type of a newer, or much older, version of this code.
    Unknown(String),
}

impl Kind {
    pub fn name(&self) -> &str {
        match self {
            Self::Known(kind) => kind.name(),
            Self::Unknown(name) => name,
        }
    }

    pub const fn known(&self) -> Option<EventType> {
        match self {
            Self::Known(kind) => Some(*kind),
            Self::Unknown(_) => None,
        }
    }
}

impl PartialEq<EventType> for Kind {
    fn eq(&self, kind: &EventType) -> bool {
        matches!(self, Self::Known(known) if known == kind)
    }
}

impl From<EventType> for Kind {
    fn from(kind: EventType) -> Self {
        Self::Known(kind)
    }
}

impl From<&str> for Kind {
    fn from(name: &str) -> Self {
        let known: Result<_, NoSuchType> = EventType::deserialize(name.into_deserializer());
        known.map_or_else(|_| Self::Unknown(name.to_owned()), Self::Known)
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;
        impl Visitor<'_> for Name {
            type Value = Kind;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of an event type")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Kind, E> {
                Ok(name.into())
            }
        }
        deserializer.deserialize_str(Name)
    }
}

impl OutboxEntry {
    pub fn of(event: &Event) -> Result<Self, StoreError> {
        Ok(Self {
            id: event.id.clone(),
            kind: event.kind.into(),
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

impl OutboxEntry {
    /// The service that raised it, as EventBridge knows it; `None` when the event does not say.
    pub fn source(&self) -> Option<Cow<'static, str>> {
        #[derive(Deserialize)]
        struct Sourced {
            source: String,
        }
        match &self.kind {
            Kind::Known(kind) => Some(kind.source().into()),
            Kind::Unknown(_) => {
                let Sourced { source } = serde_json::from_str(&self.body).ok()?;
                let name = source.strip_prefix('/').filter(|name| !name.is_empty())?;
                Some(name.to_owned().into())
            }
        }
    }
}

/// The events that an item of any table still has to publish, oldest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Unpublished {
    pub pk: String,
    /// The entries before the first one that cannot be read.
    pub outbox: Vec<OutboxEntry>,
    /// The first entry that cannot be read, and all entries behind it. They wait until somebody looks at them, or for a
    /// version of this code that can read them.
    pub unreadable: Vec<AttributeValue>,
}

/// What is known of an entry that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The entry's own id, if it has one, so that an operator can name it.
    pub id: String,
    pub kind: Option<Kind>,
    pub time: Option<Timestamp>,
}

impl Unpublished {
    /// An item that has to publish `outbox`, all of which could be read.
    pub fn new(pk: String, outbox: Vec<OutboxEntry>) -> Self {
        Self { pk, outbox, unreadable: Vec::new() }
    }

    /// Reads an item as it is stored; an error when it has no key.
    fn of(mut item: Item) -> Result<Self, StoreError> {
        let Some(AttributeValue::S(pk)) = item.remove("pk") else {
            return Err(StoreError::corrupt("an item without its key"));
        };
        let entries = match item.remove("outbox") {
            None => Vec::new(),
            Some(AttributeValue::L(entries)) => entries,
            Some(other) => return Ok(Self { pk, outbox: Vec::new(), unreadable: vec![other] }),
        };
        let mut entries = entries.into_iter();
        let (mut outbox, mut unreadable) = (Vec::with_capacity(entries.len()), Vec::new());
        while let Some(entry) = entries.next() {
            match from_attribute_value::<OutboxEntry>(entry.clone()) {
                Ok(entry) => outbox.push(entry),
                Err(_) => {
                    unreadable.push(entry);
                    unreadable.extend(entries.by_ref());
                }
            }
        }
        Ok(Self { pk, outbox, unreadable })
    }

    /// Whether the outbox is empty.
    pub const fn is_empty(&self) -> bool {
        self.outbox.is_empty() && self.unreadable.is_empty()
    }

    /// What is known of the first entry that cannot be read, if there is one.
    pub fn odd(&self) -> Option<Unreadable> {
        let entry = self.unreadable.first()?;
        Some(Unreadable {
            id: self.odd_id(entry),
            kind: text(entry, "type").map(|name| name.as_str().into()),
            time: text(entry, "time").and_then(|time| time.parse().ok()),
        })
    }

    /// The id of the event that has to be published first.
    pub fn oldest(&self) -> Option<Cow<'_, str>> {
        let first = self.outbox.first().map(|event| Cow::from(&event.id));
        first.or_else(|| self.odd().map(|odd| odd.id.into()))
    }

    /// How many events are before this one; `None` when it is not here.
    pub fn position(&self, id: &str) -> Option<usize> {
        let read = self.outbox.iter().map(|event| Cow::from(&event.id));
        let odd = self.unreadable.iter().map(|entry| self.odd_id(entry).into());
        read.chain(odd).position(|of_entry: Cow<'_, str>| of_entry == id)
    }

    /// Its first `count` entries.
    #[must_use]
    pub fn beginning(&self, count: usize) -> Self {
        let (pk, read) = (self.pk.clone(), self.outbox.len());
        let outbox = self.outbox[..count.min(read)].to_vec();
        let odd = count.saturating_sub(read).min(self.unreadable.len());
        Self { pk, outbox, unreadable: self.unreadable[..odd].to_vec() }
    }

    pub fn len(&self) -> usize {
        self.outbox.len() + self.unreadable.len()
    }

    fn odd_id(&self, entry: &AttributeValue) -> String {
        let id = text(entry, "id").filter(|id| !id.is_empty()).cloned();
        // No change has the version 0.
        id.unwrap_or_else(|| format!("{}#0", self.pk))
    }
}

/// A text of an entry that may be malformed.
fn text<'a>(entry: &'a AttributeValue, name: &str) -> Option<&'a String> {
    entry.as_m().ok()?.get(name)?.as_s().ok()
}

/// An outbox as it was read, and how many of its oldest events the bus has taken or somebody has given up.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    pub read: &'a Unpublished,
    pub count: usize,
}

/// How many statements a batch takes. Source: "Running batch operations with PartiQL for DynamoDB", DynamoDB Developer
/// Guide.
const STATEMENTS: usize = 25;

/// Tries of a statement that was throttled: as many as the SDK makes for a call. (The SDK does not look into a batch.)
const TRIES: u32 = 3;

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
    /// The events that the item has to publish now; `None` when its outbox is empty.
    pub async fn unpublished(&self, key: &str) -> Result<Option<Unpublished>, StoreError> {
        let item = self.item(key).await?.map(Unpublished::of).transpose()?;
        Ok(item.filter(|item| !item.is_empty()))
    }

    /// Keys of items whose events have waited since before `before`, oldest first, one page at a time (as many as
    /// [`Self::outboxes`] takes).
    pub async fn unpublished_before(
        &self,
        shard: u32,
        before: Timestamp,
        page: Page,
    ) -> Result<(Vec<String>, Option<Page>), StoreError> {
        let query = self.waiting_since(shard, before, page);
        let query = query.select(Select::AllProjectedAttributes);
        let answer = query.limit(i32::try_from(BATCH).map_err(StoreError::corrupt)?).send().await?;
        let key = |item: &Item| match item.get("pk") {
            Some(AttributeValue::S(key)) => Ok(key.clone()),
            _ => Err(StoreError::corrupt("an entry of index unpublished without its key")),
        };
        let keys = answer.items().iter().map(key).collect::<Result<_, _>>()?;
        Ok((keys, answer.last_evaluated_key.map(|after| Page { after: Some(after) })))
    }

    /// How many such items there are from this page on, as far as one call counts them, and whether the number is
    /// complete.
    pub async fn count_unpublished(
        &self,
        shard: u32,
        before: Timestamp,
        page: Page,
    ) -> Result<(usize, bool), StoreError> {
        let query = self.waiting_since(shard, before, page).select(Select::Count);
        let answer = query.send().await?;
        let count = usize::try_from(answer.count).map_err(StoreError::corrupt)?;
        Ok((count, answer.last_evaluated_key.is_none()))
    }

    fn waiting_since(&self, shard: u32, before: Timestamp, page: Page) -> QueryFluentBuilder {
        let query = self.client.query().table_name(&self.name).index_name("unpublished");
        query
            .key_condition_expression("unpublished = :shard AND unpublished_since < :before")
            .expression_attribute_values(":shard", AttributeValue::S(shard.to_string()))
            .expression_attribute_values(":before", AttributeValue::S(before.to_string()))
            .set_exclusive_start_key(page.after)
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

    /// The items among these (at most 100 keys) that have events to publish, in any order.
    pub async fn outboxes(&self, keys: Vec<String>) -> Result<Vec<Unpublished>, StoreError> {
        let items = self.projected(keys, true, Some("pk, outbox")).await?.into_iter();
        let outboxes: Vec<_> = items.map(Unpublished::of).collect::<Result<_, StoreError>>()?;
        Ok(outboxes.into_iter().filter(|item| !item.is_empty()).collect())
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

    /// Removes exactly the events that were published. If events were added meanwhile, it removes nothing: the function
    /// that publishes the new events publishes the old ones again first, so the order is kept.
    pub async fn trim(&self, published: &Unpublished) -> Result<(), StoreError> {
        self.forget(published, published.outbox.len()).await.map(drop)
    }

    /// [`Self::forget_all`] for one outbox.
    pub async fn forget(&self, read: &Unpublished, count: usize) -> Result<bool, StoreError> {
        Ok(self.forget_all(&[Told { read, count }]).await? == [true])
    }

    /// Removes the published events of these outboxes, each of another item. Returns for each outbox, in the order
    /// given, whether it did: if an outbox is not as it was read, nothing of it is removed. If statements fail, returns
    /// the first error; the other outboxes are trimmed all the same.
    pub async fn forget_all(&self, told: &[Told<'_>]) -> Result<Vec<bool>, StoreError> {
        let calls = told.chunks(STATEMENTS).map(|told| self.forget_some(told));
        let forgotten: Result<Vec<_>, _> = join_all(calls).await.into_iter().collect();
        Ok(forgotten?.concat())
    }

    async fn forget_some(&self, told: &[Told<'_>]) -> Result<Vec<bool>, StoreError> {
        // An outbox of which nothing was published needs no statement.
        let mut left: Vec<usize> = (0..told.len()).filter(|it| told[*it].count > 0).collect();
        let mut forgotten = vec![true; told.len()];
        for attempt in 0..TRIES {
            if left.is_empty() {
                break;
            }
            if attempt > 0 {
                retry::back_off(attempt).await;
            }
            let statements = left.iter().map(|it| told[*it].statement(&self.name));
            let statements = statements.collect::<Result<_, _>>()?;
            let call = self.client.batch_execute_statement().set_statements(Some(statements));
            let answers = call.send().await?.responses.unwrap_or_default();
            if answers.len() != left.len() {
                return Err(StoreError::corrupt(
                    "a batch was answered with another number of answers",
                ));
            }
            let (mut again, mut failed) = (Vec::new(), None);
            for (it, answer) in left.into_iter().zip(answers) {
                match answer.error.map(error) {
                    None => {}
                    Some(StoreError::Stale) => forgotten[it] = false,
                    Some(StoreError::Busy(_)) if attempt + 1 < TRIES => again.push(it),
                    Some(error) => failed = failed.or(Some(error)),
                }
            }
            if let Some(failed) = failed {
                return Err(failed);
            }
            left = again;
        }
        Ok(forgotten)
    }
}

impl Told<'_> {
    /// Holds only if the outbox is as it was read.
    fn statement(&self, table: &str) -> Result<BatchStatementRequest, StoreError> {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let Unpublished { pk, outbox, unreadable } = self.read;
        let length = AttributeValue::N(self.read.len().to_string());
        let (first, condition_values) = match (outbox.first(), unreadable.first()) {
            (Some(first), _) => ("outbox[0].id", [text(pk), text(&first.id), length]),
            // It may have no id.
            (None, Some(odd)) => ("outbox[0]", [text(pk), odd.clone(), length]),
            (None, None) => return Err(StoreError::corrupt("an outbox with nothing to forget")),
        };
        let condition = format!("WHERE pk = ? AND {first} = ? AND size(outbox) = ?");
        let left = outbox.get(self.count..).unwrap_or_default();
        let next = left.first().map(|next| next.time);
        let odd = unreadable.iter().skip(self.count.saturating_sub(outbox.len())).cloned();
        let rest = left.iter().map(to_attribute_value).chain(odd.map(Ok));
        let rest = rest.collect::<Result<Vec<_>, _>>()?;
        let statement = match (rest.is_empty(), next) {
            (true, _) => BatchStatementRequest::builder()
                .statement(format!(
                    "UPDATE \"{table}\" REMOVE outbox REMOVE unpublished REMOVE unpublished_since {condition}"
                ))
                .set_parameters(Some(condition_values.into())),
            (false, Some(next)) => {
                let mut values = vec![AttributeValue::L(rest), text(&next.to_string())];
                values.extend(condition_values);
                BatchStatementRequest::builder()
                    .statement(format!(
                        "UPDATE \"{table}\" SET outbox = ? SET unpublished_since = ? {condition}"
                    ))
                    .set_parameters(Some(values))
            }
            // As far as can be read, it has waited as long as the entries before it.
            (false, None) => {
                let mut values = vec![AttributeValue::L(rest)];
                values.extend(condition_values);
                BatchStatementRequest::builder()
                    .statement(format!("UPDATE \"{table}\" SET outbox = ? {condition}"))
                    .set_parameters(Some(values))
            }
        };
        statement.build().map_err(StoreError::corrupt)
    }
}

fn error(error: BatchStatementError) -> StoreError {
    let code = error.code.as_ref().map_or("NoCode", BatchStatementErrorCodeEnum::as_str);
    StoreError::of_statement(code, error.message().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canned::Canned;
    use serde_json::{Value, json};

    fn outbox(pk: &str, ids: &[&str]) -> Unpublished {
        let time = Timestamp::from_millis(0);
        let entry = |id: &&str| OutboxEntry {
            id: (*id).into(),
            kind: EventType::OrderCreated.into(),
            time,
            traceparent: None,
            body: "{}".into(),
        };
        Unpublished::new(pk.into(), ids.iter().map(entry).collect())
    }

    fn answers(codes: &[Option<&str>]) -> (u16, Value) {
        let answer = |code: &Option<&str>| match code {
            None => json!({"TableName": "table"}),
            Some(code) => json!({"Error": {"Code": code, "Message": "as prepared"}}),
        };
        (200, json!({"Responses": codes.iter().map(answer).collect::<Vec<_>>()}))
    }

    /// The keys of the items of each call.
    fn keys(dynamodb: &Canned) -> Vec<Vec<String>> {
        let key = |statement: &Value| {
            let values = statement["Parameters"].as_array().unwrap();
            values[values.len() - 3]["S"].as_str().unwrap().to_owned()
        };
        let of_call =
            |call: &Value| call["Statements"].as_array().unwrap().iter().map(key).collect();
        dynamodb.requests().iter().map(of_call).collect()
    }

    #[tokio::test]
    async fn a_throttled_trim_is_tried_again_alone_and_each_item_has_an_answer_of_its_own() {
        let throttled = Some("ThrottlingError");
        let dynamodb = Canned::answering([
            answers(&[None, throttled, Some("ConditionalCheckFailed")]),
            answers(&[throttled]),
            answers(&[None]),
        ]);
        let read = ["A", "B", "C"].map(|pk| outbox(pk, &["1"]));
        let told: Vec<_> = read.iter().map(|read| Told { read, count: 1 }).collect();
        let forgotten = dynamodb.table().forget_all(&told).await.unwrap();
        assert_eq!(forgotten, [true, true, false]);
        assert_eq!(keys(&dynamodb), [vec!["A", "B", "C"], vec!["B"], vec!["B"]]);
    }

    #[tokio::test]
    async fn a_trim_that_fails_is_no_success_and_one_that_stays_throttled_is_busy() {
        let read = outbox("A", &["1"]);
        let denied = Canned::answering([answers(&[Some("AccessDenied")])]);
        let error = denied.table().forget(&read, 1).await.unwrap_err();
        assert!(matches!(error, StoreError::Corrupt(_)), "{error:?}");

        let throttled = || answers(&[Some("ProvisionedThroughputExceeded")]);
        let busy = Canned::answering([throttled(), throttled(), throttled()]);
        let error = busy.table().forget(&read, 1).await.unwrap_err();
        assert!(matches!(error, StoreError::Busy(_)), "{error:?}");

        let silent = Canned::answering([answers(&[])]);
        let error = silent.table().forget(&read, 1).await.unwrap_err();
        assert!(matches!(error, StoreError::Corrupt(_)), "{error:?}");
    }

    #[tokio::test]
    async fn a_call_has_25_trims_at_most_and_a_failed_one_keeps_the_others_from_nothing() {
        let failed = (400, crate::canned::error("ValidationException"));
        let dynamodb = Canned::answering([failed, answers(&[None; 25]), answers(&[None; 10])]);
        let read: Vec<_> = (0..60).map(|pk| outbox(&format!("{pk}"), &["1"])).collect();
        let told: Vec<_> = read.iter().map(|read| Told { read, count: 1 }).collect();
        assert!(dynamodb.table().forget_all(&told).await.is_err());
        let sizes: Vec<_> = keys(&dynamodb).iter().map(Vec::len).collect();
        assert_eq!(sizes, [25, 25, 10]);
    }

    fn aggregate_id(id: &str) -> Option<String> {
        let (kind, time) = (EventType::OrderCreated.into(), Timestamp::from_millis(0));
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
