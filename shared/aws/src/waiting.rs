//! The events in the outboxes of several tables, as one list. The item that has waited longest comes first.
//!
//! An item's place in the list is the time since when its events have waited, and its key. A list goes on after the
//! last place that it has reached, so events that are published or raised meanwhile do not move the rest of the list.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};
use serde_dynamo::aws_sdk_dynamodb_1::from_item;
use trackops_domain::Timestamp;

use crate::aggregate::{BATCH, SHARDS, Table};
use crate::error::StoreError;
use crate::outbox::Unpublished;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    #[serde(rename = "unpublished_since")]
    since: String,
    #[serde(rename = "pk")]
    key: String,
}

/// An item that waits, as it is now.
#[derive(Clone, Debug)]
pub struct Waiting<'a> {
    pub table: &'a Table,
    pub place: Place,
    pub item: Unpublished,
}

/// The next items (`count`, and at most [`BATCH`]) that have waited since before `before`, and the place where the list
/// goes on; `None` at its end. There are fewer items if some were published after they were in the index.
pub async fn waiting<'a>(
    tables: &[&'a Table],
    before: Timestamp,
    after: Option<&Place>,
    count: usize,
) -> Result<(Vec<Waiting<'a>>, Option<Place>), StoreError> {
    let count = count.min(BATCH);
    let partitions = tables.iter().enumerate();
    let partitions = partitions.flat_map(|(table, _)| (0..SHARDS).map(move |shard| (table, shard)));
    let reads = partitions.map(|(table, shard)| async move {
        let places = partition(tables[table], shard, before, after, count).await?;
        Ok::<_, StoreError>(places.into_iter().map(move |place| (place, table)).collect())
    });
    let places = first(try_join_all(reads).await?, count);
    let ends = places.len() < count;

    let mut items = HashMap::new();
    for (number, table) in tables.iter().enumerate() {
        let of_table = places.iter().filter(|(_, table)| *table == number);
        let keys = of_table.map(|(place, _)| place.key.clone()).collect();
        let found = table.outboxes(keys).await?.into_iter();
        items.extend(found.map(|item| (item.pk.clone(), item)));
    }
    let next = places.last().filter(|_| !ends).map(|(place, _)| place.clone());
    let waiting = places.into_iter().filter_map(|(place, table)| {
        let item = items.remove(&place.key)?;
        Some(Waiting { table: tables[table], place, item })
    });
    Ok((waiting.collect(), next))
}

/// The first `count` places of the merge of all partitions, each of which gave its first `count`.
fn first<T: Ord>(partitions: Vec<Vec<T>>, count: usize) -> Vec<T> {
    let mut all: Vec<_> = partitions.into_iter().flatten().collect();
    all.sort_unstable();
    all.truncate(count);
    all
}

/// The first `count` places of a partition after `after`.
async fn partition(
    table: &Table,
    shard: u32,
    before: Timestamp,
    after: Option<&Place>,
    count: usize,
) -> Result<Vec<Place>, StoreError> {
    let from = after.map_or_else(|| Timestamp::from_millis(0).to_string(), |it| it.since.clone());
    let mut run = Run { after, places: Vec::new(), ends: false };
    let mut start = None;
    loop {
        let answer = table
            .client
            .query()
            .table_name(&table.name)
            .index_name("unpublished")
            .key_condition_expression(
                "unpublished = :shard AND unpublished_since BETWEEN :from AND :before",
            )
            .expression_attribute_values(":shard", AttributeValue::S(shard.to_string()))
            .expression_attribute_values(":from", AttributeValue::S(from.clone()))
            .expression_attribute_values(":before", AttributeValue::S(before.to_string()))
            .limit(i32::try_from(count + 1).map_err(StoreError::corrupt)?)
            .set_exclusive_start_key(start)
            .send()
            .await?;
        for place in answer.items.unwrap_or_default() {
            run.places.push(from_item(place)?);
        }
        start = answer.last_evaluated_key;
        run.ends = start.is_none();
        if let Some(places) = run.first(count) {
            return Ok(places);
        }
    }
}

/// What was read of a partition so far. Places of the same time come in any order, and there may be more places of the
/// newest time that was read.
struct Run<'a> {
    after: Option<&'a Place>,
    places: Vec<Place>,
    ends: bool,
}

impl Run<'_> {
    /// The first `count` places; `None` when more must be read to know them.
    fn first(&self, count: usize) -> Option<Vec<Place>> {
        let newest = self.places.last().map(|place| &place.since);
        let is_known = |place: &&Place| self.ends || Some(&place.since) != newest;
        let is_behind = |place: &&Place| self.after.is_none_or(|after| *place > after);
        let known = self.places.iter().filter(is_known).filter(is_behind).cloned();
        let known = first(vec![known.collect()], count);
        (self.ends || known.len() == count).then_some(known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What [`partition`] reads, `step` entries at a time.
    fn read(all: &[Place], after: Option<&Place>, count: usize, step: usize) -> Vec<Place> {
        let from = after.map_or("", |after| after.since.as_str());
        let left: Vec<_> = all.iter().filter(|place| place.since.as_str() >= from).collect();
        let mut run = Run { after, places: Vec::new(), ends: false };
        let mut pages = left.chunks(step);
        loop {
            run.places.extend(pages.next().unwrap_or_default().iter().map(|it| (*it).clone()));
            run.ends = run.places.len() == left.len();
            if let Some(places) = run.first(count) {
                return places;
            }
        }
    }

    proptest! {
        #[test]
        fn a_walk_sees_every_place_once_and_in_order_however_many_share_a_time(
            times in prop::collection::vec(prop::collection::vec("[a-c]", 0..12), 1..4),
            count in 1..6_usize, step in 1..6_usize,
        ) {
            let mut expected = Vec::new();
            let partitions: Vec<Vec<Place>> = times.into_iter().enumerate().map(|(shard, times)| {
                let named = times.into_iter().enumerate();
                // The keys of the same time come in any order.
                let place = |(number, since)| {
                    Place { since, key: format!("{}-{shard}", (number * 7) % 12) }
                };
                let mut places: Vec<_> = named.map(place).collect();
                places.sort_by(|a, b| a.since.cmp(&b.since));
                expected.extend(places.clone());
                places
            }).collect();
            expected.sort();
            let mut walked: Vec<Place> = Vec::new();
            loop {
                let after = walked.last().cloned();
                let reads = partitions.iter().map(|all| read(all, after.as_ref(), count, step));
                let page = first(reads.collect(), count);
                let ends = page.len() < count;
                walked.extend(page);
                if ends {
                    break;
                }
            }
            prop_assert_eq!(walked, expected);
        }
    }
}
