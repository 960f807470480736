//! Lists of orders, newest first, from indexes whose keys are written once and never change.
//!
//! An order's place in a list is its `created_key`, `<created at>#<id>`. A list goes on below the key that it has
//! reached, so orders that are placed meanwhile do not move the others.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};
use trackops_domain::order::{Order, OrderStatus};
use trackops_domain::{CustomerId, OrderId, Timestamp};

use crate::aggregate::{BATCH, Item, Table};
use crate::error::StoreError;
use crate::orders::Orders;
use crate::outbox::hash;
use crate::stored::{Page, Unreadable};

/// Partitions of a day in index `by_day`: one partition takes 1,000 writes a second, and this must not limit the orders
/// of a day.
const DAY_SHARDS: u32 = 4;

/// How far back a list of everybody's orders goes if the request does not say: the list is read day by day.
const EVERYBODY: Duration = Duration::from_secs(30 * DAY.as_secs());
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How often an index is read for one page. After that the page has what was found so far.
const STEPS: usize = 32;

/// How far ahead the clock of a function that places orders may be.
const AHEAD: Duration = Duration::from_secs(60);

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Filter {
    pub customer: Option<CustomerId>,
    pub status: Option<OrderStatus>,
    /// Placed at this time or later.
    pub from: Option<Timestamp>,
    /// Placed before this time.
    pub to: Option<Timestamp>,
}

/// What is left of a list: keys that are at least `from` and less than `before`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    from: String,
    before: String,
}

impl Position {
    fn first(filter: &Filter, now: Timestamp) -> Self {
        let end = now.plus(AHEAD);
        let before = filter.to.map_or(end, |to| to.min(end));
        let from = match filter {
            Filter { from: Some(from), .. } => *from,
            Filter { customer: Some(_), .. } => Timestamp::from_millis(0),
            _ => before.minus(EVERYBODY),
        };
        Self { from: from.to_string(), before: before.to_string() }
    }

    /// Where the list of these orders goes on after this order.
    pub fn behind(order: &Order, filter: &Filter) -> Self {
        Self { before: created_key(order), ..Self::first(filter, Timestamp::now()) }
    }
}

fn created_key(order: &Order) -> String {
    format!("{}#{}", order.created_at, order.id)
}

/// Keys, newest first: all keys that exist down to `down_to`, inclusive.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Run {
    keys: Vec<String>,
    down_to: String,
}

impl Run {
    /// What all of them know.
    fn merged(runs: Vec<Self>) -> Option<Self> {
        let down_to = runs.iter().map(|run| &run.down_to).max()?.clone();
        let keys = runs.into_iter().flat_map(|run| run.keys);
        let mut keys: Vec<_> = keys.filter(|key| *key >= down_to).collect();
        keys.sort_unstable_by(|a, b| b.cmp(a));
        Some(Self { keys, down_to })
    }

    /// The newest `count` keys.
    fn newest(mut self, count: usize) -> Self {
        if self.keys.len() > count {
            self.keys.truncate(count);
            self.down_to = self.keys.last().cloned().unwrap_or(self.down_to);
        }
        self
    }
}

/// Attributes of the two indexes of lists.
pub(crate) fn index_keys(order: &Order) -> Vec<(&'static str, String)> {
    let key = Order::key(&order.id);
    let created_at = order.created_at.to_string();
    let shard = hash(&key) % DAY_SHARDS;
    vec![
        ("created_day", format!("{}#{shard}", day(&created_at))),
        ("created_key", created_key(order)),
    ]
}

/// `yyyy-mm-dd` of a time or a key; it sorts before all keys of that day.
fn day(key: &str) -> &str {
    key.split_once('T').map_or(key, |(day, _)| day)
}

/// The day of the newest key that can be below `before`.
fn day_below(before: &str) -> Result<String, StoreError> {
    if before != day(before) {
        return Ok(day(before).to_owned());
    }
    let midnight: Timestamp =
        format!("{before}T00:00:00.000Z").parse().map_err(StoreError::corrupt)?;
    Ok(day(&midnight.minus(DAY).to_string()).to_owned())
}

impl Orders {
    /// A page of at most `limit`.
    pub async fn list(
        &self,
        filter: &Filter,
        position: Option<Position>,
        limit: usize,
    ) -> Result<Page<Order, Position>, StoreError> {
        let mut left = position.unwrap_or_else(|| Position::first(filter, Timestamp::now()));
        let (mut found, mut unreadable) = (Vec::new(), Unreadable::default());
        for _ in 0..STEPS {
            if left.before <= left.from {
                break;
            }
            // Nobody knows how many of the orders will have the status.
            let count = if filter.status.is_some() { BATCH } else { limit - found.len() };
            let run = self.keys(filter, &left, count).await?;
            left.before = run.down_to;
            let is_wanted =
                |order: &Order| filter.status.is_none_or(|status| status == order.status);
            // Nobody knows whether an order that cannot be read has the status.
            let read = self.read(&run.keys).await?.into_iter().zip(run.keys);
            let mut read = read.filter(|(order, _)| order.as_ref().is_none_or(is_wanted));
            for (order, key) in read.by_ref() {
                match order {
                    Some(order) => found.push(order),
                    None => unreadable.0.push(key.clone()),
                }
                if found.len() == limit {
                    // The other orders that were read belong to the next page.
                    if read.next().is_some() {
                        left.before = key;
                    }
                    break;
                }
            }
            if found.len() == limit {
                break;
            }
        }
        let next = (left.before > left.from).then_some(left);
        Ok(Page { found, unreadable, next })
    }

    /// The next keys: at most `count`, and for everybody's orders at most those of one day.
    async fn keys(
        &self,
        filter: &Filter,
        left: &Position,
        count: usize,
    ) -> Result<Run, StoreError> {
        if let Some(customer) = &filter.customer {
            let customer = customer.as_str().to_owned();
            return Ok(self
                .run("by_customer", "customer_id", customer, left, count)
                .await?
                .newest(count));
        }
        let day = day_below(&left.before)?;
        let left = Position { from: left.from.clone().max(day.clone()), ..left.clone() };
        let shards = (0..DAY_SHARDS).map(|shard| format!("{day}#{shard}"));
        let runs = shards.map(|shard| self.run("by_day", "created_day", shard, &left, count));
        let run = Run::merged(try_join_all(runs).await?);
        Ok(run.ok_or_else(|| StoreError::corrupt("a day without shards"))?.newest(count))
    }

    /// The next keys of one partition: at least `count`, if it has so many.
    async fn run(
        &self,
        index: &str,
        attribute: &str,
        partition: String,
        left: &Position,
        count: usize,
    ) -> Result<Run, StoreError> {
        let Table { client, name } = self.table();
        // Reads two more than wanted: one tells whether there are more, and one is because BETWEEN includes `before`.
        let limit = i32::try_from(count + 2).map_err(StoreError::corrupt)?;
        let answer = client
            .query()
            .table_name(name)
            .index_name(index)
            .key_condition_expression(
                "#partition = :partition AND created_key BETWEEN :from AND :before",
            )
            .expression_attribute_names("#partition", attribute)
            .expression_attribute_values(":partition", AttributeValue::S(partition))
            .expression_attribute_values(":from", AttributeValue::S(left.from.clone()))
            .expression_attribute_values(":before", AttributeValue::S(left.before.clone()))
            .scan_index_forward(false)
            .limit(limit)
            .send()
            .await?;
        let key = |item: &Item| match item.get("created_key") {
            Some(AttributeValue::S(key)) => Ok(key.clone()),
            _ => Err(StoreError::corrupt(format!("an entry of index {index} without its key"))),
        };
        let keys: Vec<_> = answer.items().iter().map(key).collect::<Result<_, _>>()?;
        let down_to = match keys.last() {
            Some(last) if answer.last_evaluated_key.is_some() => last.clone(),
            _ => left.from.clone(),
        };
        let keys = keys.into_iter().filter(|key| *key < left.before).collect();
        Ok(Run { keys, down_to })
    }

    /// The orders among these (at most 100) that exist, in any order.
    pub async fn find_all(&self, ids: &[OrderId]) -> Result<(Vec<Order>, Unreadable), StoreError> {
        self.table().load_all(ids.iter().map(Order::key).collect(), true).await
    }

    /// The orders with these keys, in the order of the keys; `None` for an order that cannot be read.
    async fn read(&self, keys: &[String]) -> Result<Vec<Option<Order>>, StoreError> {
        let id = |key: &String| key.split_once('#').and_then(|(_, id)| id.parse().ok());
        let id = |key| id(key).ok_or_else(|| StoreError::corrupt(format!("{key} names no order")));
        let wanted = keys.iter().map(id).collect::<Result<Vec<OrderId>, StoreError>>()?;
        let (orders, unreadable) = self.find_all(&wanted).await?;
        if orders.len() + unreadable.0.len() != keys.len() {
            return Err(StoreError::corrupt("an index names orders that are not there"));
        }
        let mut orders: HashMap<_, _> = orders.into_iter().map(|order| (order.id, order)).collect();
        Ok(wanted.iter().map(|id| orders.remove(id)).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use proptest::prelude::*;

    /// What [`Orders::run`] reads.
    fn run_of(shard: &BTreeSet<String>, left: &Position, count: usize) -> Run {
        let keys = shard.range(left.from.clone()..left.before.clone()).rev();
        let keys: Vec<_> = keys.take(count + 1).cloned().collect();
        let down_to = match keys.last() {
            Some(last) if keys.len() > count => last.clone(),
            _ => left.from.clone(),
        };
        Run { keys, down_to }
    }

    proptest! {
        #[test]
        fn pages_of_merged_shards_are_a_plain_sort_cut_into_pieces_whatever_is_added_meanwhile(
            shards in prop::collection::vec(prop::collection::btree_set("[b-y]{1,3}", 0..20), 1..5),
            pages in prop::collection::vec(1..8_usize, 1..5),
        ) {
            let mut expected: Vec<String> = shards.iter().flatten().cloned().collect();
            expected.sort_unstable_by(|a, b| b.cmp(a));
            let mut shards = shards;
            let mut left = Position { from: "a".into(), before: "z".into() };
            let mut walked = Vec::new();
            for (number, count) in pages.iter().cycle().enumerate() {
                if left.before <= left.from {
                    break;
                }
                let runs = shards.iter().map(|shard| run_of(shard, &left, *count)).collect();
                let run = Run::merged(runs).unwrap().newest(*count);
                prop_assert!(run.keys.len() <= *count);
                prop_assert!(run.down_to < left.before, "no progress");
                left.before = run.down_to;
                walked.extend(run.keys);
                let shard = number % shards.len();
                shards[shard].insert(format!("z{number}"));
            }
            expected.dedup();
            walked.dedup();
            prop_assert_eq!(walked, expected);
        }

        #[test]
        fn days_are_walked_one_by_one(millis in 0..4_000_000_000_000_i64) {
            let at = Timestamp::from_millis(millis).to_string();
            prop_assert_eq!(day_below(&at).unwrap(), day(&at));
            prop_assert!(day_below(&at).unwrap() < at);
            let before = day_below(day(&at)).unwrap();
            prop_assert!(millis < 86_400_000 || before.as_str() < day(&at));
        }
    }

    #[test]
    fn a_list_of_everybody_ends_thirty_days_back_and_one_of_a_customer_does_not() {
        let now = Timestamp::from_millis(40 * 86_400_000);
        let everybody = Position::first(&Filter::default(), now);
        assert_eq!(day(&everybody.from), "1970-01-11");
        let to = Some(Timestamp::from_millis(35 * 86_400_000));
        let before = Position::first(&Filter { to, ..Filter::default() }, now);
        assert_eq!((day(&before.from), day(&before.before)), ("1970-01-06", "1970-02-05"));
        let customer = Some("alice".parse().unwrap());
        let own = Position::first(&Filter { customer, ..Filter::default() }, now);
        assert_eq!(day(&own.from), "1970-01-01");
    }
}
