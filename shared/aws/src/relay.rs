//! The relay's own table: what is known of events that the bus refused, and how many it took.
//!
//! The events themselves stay in the outboxes of their items. For events that the bus takes at once, only a counter is
//! written, one write for all events that were taken together.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue;
use futures::future::try_join_all;
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use serde_dynamo::aws_sdk_dynamodb_1::{from_item, to_attribute_value};
use trackops_domain::{CustomerId, Schema, Timestamp};

use crate::aggregate::{BATCH, Item, SHARDS, Table};
use crate::bus::Refusal;
use crate::error::StoreError;
use crate::outbox::{Kind, OutboxEntry, Unreadable, shard};
use crate::stored;

/// How long until a parked event is tried again: the first pause; each later refusal makes it twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);

/// If an event was not refused again for so long, it was published meanwhile. (Parked events are tried, and refused, at
/// least once in the longest pause.)
const REMEMBERED: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How many characters of a bus's message are kept.
const MAX_MESSAGE: usize = 500;

/// Writes under way at once.
const CONCURRENT_WRITES: usize = 16;

/// The type that is noted for an entry without a type.
const NO_TYPE: &str = "unknown";

/// Why an event is not published.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct RefusedEvent {
    pub id: String,
    pub aggregate: String,
    #[serde(rename = "type")]
    pub kind: Kind,
    pub attempts: u32,
    pub first_at: Timestamp,
    pub last_at: Timestamp,
    /// The bus's code for the newest refusal.
    pub code: String,
    /// The bus's message about the event itself.
    pub message: Option<String>,
    /// Its partition of index `parked`; only if it was refused for good.
    parked: Option<String>,
    pub discarded: Option<Discarded>,
}

/// An event that somebody has removed from its outbox, so that the events behind it can be published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discarded {
    pub at: Timestamp,
    pub by: CustomerId,
    pub reason: String,
}

impl RefusedEvent {
    pub const fn is_parked(&self) -> bool {
        self.parked.is_some()
    }

    /// When the sweeper tries it again.
    pub fn next_attempt(&self) -> Timestamp {
        if !self.is_parked() {
            return self.last_at;
        }
        let doubled = 2_u32.saturating_pow(self.attempts.saturating_sub(1).min(16));
        self.last_at.plus(FIRST_PAUSE.saturating_mul(doubled).min(LONGEST_PAUSE))
    }
}

#[derive(Clone, Debug)]
pub struct RelayStore {
    table: Table,
}

fn event_key(id: &str) -> String {
    format!("EVENT#{id}")
}

/// `day` is `yyyy-mm-dd`.
fn counter_key(bus: &str, day: &str) -> String {
    format!("PUBLISHED#{bus}#{day}")
}

/// `yyyy-mm-dd` of a time, in UTC.
fn day(at: Timestamp) -> String {
    at.to_string().chars().take(10).collect()
}

/// An entry that makes no sense does not hide the others.
fn read(item: Item) -> Option<RefusedEvent> {
    let key = item.get("pk").cloned();
    match from_item(item) {
        Ok(event) => Some(event),
        Err(error) => {
            tracing::error!(?key, error = %error, "what is known of an event cannot be read");
            None
        }
    }
}

impl RelayStore {
    pub const fn new(table: Table) -> Self {
        Self { table }
    }

    /// Notes one more refusal. If it is for good, the event is parked.
    pub async fn refused(
        &self,
        aggregate: &str,
        event: &OutboxEntry,
        refusal: &Refusal,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.note(aggregate, &event.id, event.kind.name(), refusal, now).await
    }

    /// Notes one more look at an entry of an outbox that cannot be read. The entry is parked.
    pub async fn unreadable(
        &self,
        aggregate: &str,
        entry: &Unreadable,
        why: &Refusal,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let kind = entry.kind.as_ref().map_or(NO_TYPE, Kind::name);
        self.note(aggregate, &entry.id, kind, why, now).await
    }

    async fn note(
        &self,
        aggregate: &str,
        id: &str,
        kind: &str,
        refusal: &Refusal,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let forget_at = AttributeValue::N(now.plus(REMEMBERED).unix_seconds().to_string());
        let mut update = Update::of(self, &event_key(id));
        update.set("id", text(id));
        update.set("aggregate", text(aggregate));
        update.set("type", text(kind));
        update.set("last_at", text(&now.to_string()));
        update.set("forget_at", forget_at);
        update.set_once("first_at", text(&now.to_string()));
        update.set_once(stored::SCHEMA, stored::schema(Schema::FIRST));
        match refusal {
            Refusal::ForGood { code, message } => {
                update.set("code", text(code));
                let message: String = message.chars().take(MAX_MESSAGE).collect();
                update.set("message", text(&message));
                update.set("parked", shard(aggregate));
            }
            Refusal::ForNow { code, .. } => {
                update.set("code", text(code));
                update.remove("message");
            }
        }
        update.add("attempts", 1);
        update.send(None).await
    }

    /// The events among these that were refused.
    pub async fn refusals(
        &self,
        ids: &[&str],
    ) -> Result<HashMap<String, RefusedEvent>, StoreError> {
        let reads = ids.chunks(BATCH).map(|ids| {
            let keys = ids.iter().map(|id| event_key(id)).collect();
            self.table.items(keys, true)
        });
        let mut found = HashMap::new();
        for item in try_join_all(reads).await?.into_iter().flatten() {
            found.extend(read(item).map(|event| (event.id.clone(), event)));
        }
        Ok(found)
    }

    /// Removes what is known of refusals of these events, because they are published now.
    pub async fn forget(&self, ids: &[&str]) -> Result<(), StoreError> {
        let refused = self.refusals(ids).await?;
        let ids: Vec<&str> = refused.keys().map(String::as_str).collect();
        self.forget_these(&ids).await
    }

    /// The same, for events that are known to have been refused.
    pub async fn forget_these(&self, ids: &[&str]) -> Result<(), StoreError> {
        let keys: Vec<String> = ids.iter().map(|id| event_key(id)).collect();
        let deletions = keys.into_iter().map(|key| async move {
            let call = self.table.client.delete_item().table_name(&self.table.name);
            call.key("pk", AttributeValue::S(key)).send().await?;
            Ok(())
        });
        stream::iter(deletions).buffer_unordered(CONCURRENT_WRITES).try_collect().await
    }

    /// Notes, once, who gives a parked event up and why. `Stale` when it is not parked.
    pub async fn discard(&self, id: &str, discarded: &Discarded) -> Result<(), StoreError> {
        let mut update = Update::of(self, &event_key(id));
        update.set_once("discarded", to_attribute_value(discarded)?);
        update.remove("parked");
        // This note does not expire: it is all that is left of the event.
        update.remove("forget_at");
        update.send(Some("attribute_exists(parked) OR attribute_exists(discarded)")).await
    }

    /// Parked events, longest parked first, at most a page (1 MB) of each partition of the index.
    pub async fn parked(&self) -> Result<Vec<RefusedEvent>, StoreError> {
        let reads = (0..SHARDS).map(|shard| {
            let query = self.table.client.query().table_name(&self.table.name);
            query
                .index_name("parked")
                .key_condition_expression("parked = :shard")
                .expression_attribute_values(":shard", AttributeValue::S(shard.to_string()))
                .send()
        });
        let mut parked: Vec<RefusedEvent> = Vec::new();
        for answer in try_join_all(reads).await? {
            parked.extend(answer.items.unwrap_or_default().into_iter().filter_map(read));
        }
        parked.sort_by(|a, b| (a.first_at, &a.id).cmp(&(b.first_at, &b.id)));
        Ok(parked)
    }

    /// Adds to the counts of events that a bus took today.
    pub async fn count(
        &self,
        bus: &str,
        taken: &BTreeMap<&str, u64>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut update = Update::of(self, &counter_key(bus, &day(now)));
        update.set_once(stored::SCHEMA, stored::schema(Schema::FIRST));
        for (kind, count) in taken {
            update.add(kind, *count);
        }
        update.send(None).await
    }

    /// How many events of each type each of `buses` took in the `days` (90 at most) up to today, repetitions included.
    pub async fn published(
        &self,
        buses: &[&str],
        days: u32,
        now: Timestamp,
    ) -> Result<BTreeMap<(String, String), u64>, StoreError> {
        let day_before = |age: u32| day(now.minus(Duration::from_secs(24 * 60 * 60) * age));
        let keys = buses.iter().flat_map(|bus| {
            (0..days).map(move |age| (bus.to_string(), counter_key(bus, &day_before(age))))
        });
        let buses: HashMap<String, String> = keys.map(|(bus, key)| (key, bus)).collect();
        let keys: Vec<String> = buses.keys().cloned().collect();
        let reads = keys.chunks(BATCH).map(|keys| self.table.items(keys.to_vec(), false));
        let mut sums = BTreeMap::new();
        for item in try_join_all(reads).await?.into_iter().flatten() {
            let bus = match item.get("pk") {
                Some(AttributeValue::S(key)) => buses.get(key),
                _ => None,
            };
            let bus = bus.ok_or_else(|| StoreError::corrupt("a counter that nobody asked for"))?;
            for (kind, count) in
                item.iter().filter(|(name, _)| !["pk", stored::SCHEMA].contains(&name.as_str()))
            {
                let number = count.as_n().ok().and_then(|count| count.parse::<u64>().ok());
                match number {
                    Some(count) => *sums.entry((bus.clone(), kind.clone())).or_default() += count,
                    None => tracing::error!(bus, kind, "a counter that is no number"),
                }
            }
        }
        Ok(sums)
    }
}

/// An update expression with a placeholder for every name, because many of our names are reserved words of DynamoDB.
struct Update {
    call: UpdateItemFluentBuilder,
    names: usize,
    sets: Vec<String>,
    removes: Vec<String>,
    adds: Vec<String>,
}

impl Update {
    fn of(store: &RelayStore, key: &str) -> Self {
        let call = store.table.client.update_item().table_name(&store.table.name);
        let call = call.key("pk", AttributeValue::S(key.to_owned()));
        Self { call, names: 0, sets: Vec::new(), removes: Vec::new(), adds: Vec::new() }
    }

    fn name(&mut self, name: &str) -> String {
        let placeholder = format!("a{}", self.names);
        self.names += 1;
        self.call = self.call.clone().expression_attribute_names(format!("#{placeholder}"), name);
        placeholder
    }

    fn valued(&mut self, name: &str, value: AttributeValue) -> String {
        let placeholder = self.name(name);
        self.call = self.call.clone().expression_attribute_values(format!(":{placeholder}"), value);
        placeholder
    }

    fn set(&mut self, name: &str, value: AttributeValue) {
        let it = self.valued(name, value);
        self.sets.push(format!("#{it} = :{it}"));
    }

    /// Keeps a value that is there already.
    fn set_once(&mut self, name: &str, value: AttributeValue) {
        let it = self.valued(name, value);
        self.sets.push(format!("#{it} = if_not_exists(#{it}, :{it})"));
    }

    fn remove(&mut self, name: &str) {
        let it = self.name(name);
        self.removes.push(format!("#{it}"));
    }

    fn add(&mut self, name: &str, number: u64) {
        let it = self.valued(name, AttributeValue::N(number.to_string()));
        self.adds.push(format!("#{it} :{it}"));
    }

    async fn send(self, condition: Option<&str>) -> Result<(), StoreError> {
        let clauses = [("SET", self.sets), ("REMOVE", self.removes), ("ADD", self.adds)];
        let clauses = clauses.into_iter().filter(|(_, parts)| !parts.is_empty());
        let clauses = clauses.map(|(clause, parts)| format!("{clause} {}", parts.join(", ")));
        let clauses: Vec<String> = clauses.collect();
        let call = self.call.update_expression(clauses.join(" "));
        call.set_condition_expression(condition.map(str::to_owned)).send().await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trackops_domain::event::EventType;

    fn refused(attempts: u32, parked: bool) -> RefusedEvent {
        RefusedEvent {
            id: "ORDER#1#1".into(),
            aggregate: "ORDER#1".into(),
            kind: EventType::OrderCreated.into(),
            attempts,
            first_at: Timestamp::from_millis(0),
            last_at: Timestamp::from_millis(0),
            code: "MalformedDetail".into(),
            message: None,
            parked: parked.then(|| "0".into()),
            discarded: None,
        }
    }

    #[test]
    fn a_parked_event_is_tried_ever_more_seldom_but_once_an_hour() {
        let pause = |attempts| refused(attempts, true).next_attempt().unix_seconds();
        assert_eq!([1, 2, 3, 6, 7, 8, u32::MAX].map(pause), [60, 120, 240, 1920, 3600, 3600, 3600]);
    }

    #[test]
    fn what_was_refused_for_now_is_tried_again_at_once() {
        assert_eq!(refused(9, false).next_attempt().unix_seconds(), 0);
    }
}
