//! Lists of items, by product id, and of reservations, newest first.
//!
//! The place of an entry never changes, and a list goes on after the last place that it has reached. So entries that
//! are added meanwhile do not move the others. Index `listed` has eight partitions for each list, and a page is the
//! merge of all.

use std::cmp::Ordering;
use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use futures::future::try_join_all;
use serde::Serialize;
use trackops_domain::reservation::{Reservation, ReservationState};
use trackops_domain::stock::StockItem;
use trackops_domain::{OrderId, Sku};

use crate::aggregate::{Aggregate, BATCH, Item, SHARDS, Table};
use crate::error::StoreError;
use crate::inventory::Inventory;
use crate::outbox::hash;
use crate::stored::{self, Unreadable};

/// How often the index is read for one page. After that the page has what was found so far.
const STEPS: usize = 10;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ItemFilter {
    pub category: Option<String>,
    pub low_stock: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ReservationFilter {
    pub status: Option<ReservationState>,
    pub order: Option<OrderId>,
    pub product: Option<Sku>,
}

/// A list goes on after a place.
pub type Page<T> = stored::Page<T, String>;

impl ItemFilter {
    fn matches(&self, item: &StockItem) -> bool {
        self.category.as_ref().is_none_or(|category| item.category.as_ref() == Some(category))
            && self.low_stock.is_none_or(|low| item.is_low() == low)
    }
}

impl ReservationFilter {
    fn matches(&self, reservation: &Reservation) -> bool {
        let has = |sku: &Sku| reservation.lines.iter().any(|line| line.sku == *sku);
        self.status.is_none_or(|status| reservation.state == status)
            && self.order.is_none_or(|order| reservation.order_id() == Some(order))
            && self.product.as_ref().is_none_or(has)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum List {
    Items,
    Reservations,
}

impl List {
    fn partition(self, shard: u32) -> String {
        match self {
            Self::Items => format!("STOCK#{shard}"),
            Self::Reservations => format!("RES#{shard}"),
        }
    }

    fn order(self, a: &str, b: &str) -> Ordering {
        match self {
            Self::Items => a.cmp(b),
            Self::Reservations => b.cmp(a),
        }
    }

    /// The first `count` places of the merge of all partitions, each of which gave its first `count`.
    fn first(self, partitions: Vec<Vec<Entry>>, count: usize) -> Vec<Entry> {
        let mut all: Vec<_> = partitions.into_iter().flatten().collect();
        all.sort_unstable_by(|a, b| self.order(&a.place, &b.place));
        all.truncate(count);
        all
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) place: String,
    pub(crate) key: String,
}

fn index_keys(list: List, key: &str, place: String) -> Vec<(&'static str, String)> {
    vec![("listed", list.partition(hash(key) % SHARDS)), ("listed_place", place)]
}

pub(crate) fn item_keys(item: &StockItem) -> Vec<(&'static str, String)> {
    index_keys(List::Items, &item.key(), item.sku.to_string())
}

/// Tombstones are in no list: nobody asked for them.
pub(crate) fn reservation_keys(reservation: &Reservation) -> Vec<(&'static str, String)> {
    if reservation.lines.is_empty() {
        return Vec::new();
    }
    let place = format!("{}#{}", reservation.created_at, reservation.id);
    index_keys(List::Reservations, &reservation.key(), place)
}

impl Inventory {
    /// Whether the lists can be read.
    pub async fn check_lists(&self) -> Result<(), StoreError> {
        entries(self.table(), List::Items, 0, &None, 1).await.map(drop)
    }

    pub async fn list_items(
        &self,
        filter: &ItemFilter,
        after: Option<String>,
        limit: usize,
    ) -> Result<Page<StockItem>, StoreError> {
        let all = *filter == ItemFilter::default();
        let keep = |item: &StockItem| filter.matches(item);
        page(self.table(), List::Items, keep, all, after, limit).await
    }

    pub async fn list_reservations(
        &self,
        filter: &ReservationFilter,
        after: Option<String>,
        limit: usize,
    ) -> Result<Page<Reservation>, StoreError> {
        let keep = |reservation: &Reservation| filter.matches(reservation);
        if let Some(order) = &filter.order {
            // It has the order's id.
            let found = self.find_reservation(order).await?;
            let found = found.into_iter().filter(keep).collect();
            return Ok(Page { found, unreadable: Unreadable::default(), next: None });
        }
        let all = *filter == ReservationFilter::default();
        page(self.table(), List::Reservations, keep, all, after, limit).await
    }
}

async fn page<T: Aggregate>(
    table: &Table,
    list: List,
    keep: impl Fn(&T) -> bool,
    all: bool,
    mut after: Option<String>,
    limit: usize,
) -> Result<Page<T>, StoreError> {
    let mut page = Page { found: Vec::new(), unreadable: Unreadable::default(), next: None };
    for _ in 0..STEPS {
        // Nobody knows how many of the entries the filter will keep.
        let count = if all { limit - page.found.len() } else { BATCH };
        let partitions = (0..SHARDS).map(|shard| entries(table, list, shard, &after, count));
        let entries = list.first(try_join_all(partitions).await?, count);
        let ends = entries.len() < count;
        let keys = entries.iter().map(|entry| entry.key.clone()).collect();
        let (items, unreadable) = table.load_all::<T>(keys, true).await?;
        let mut items: HashMap<_, _> = items.into_iter().map(|item| (item.key(), item)).collect();
        let last = entries.last().map(|entry| entry.place.clone());
        for Entry { place, key } in entries {
            if unreadable.0.contains(&key) {
                page.unreadable.0.push(key);
                continue;
            }
            page.found.extend(items.remove(&key).filter(&keep));
            if page.found.len() == limit {
                let more = !ends || last.as_ref() != Some(&place);
                page.next = more.then_some(place);
                return Ok(page);
            }
        }
        if ends {
            return Ok(page);
        }
        after = last;
    }
    page.next = after;
    Ok(page)
}

/// The next `count` entries of a partition.
pub(crate) async fn entries(
    table: &Table,
    list: List,
    shard: u32,
    after: &Option<String>,
    count: usize,
) -> Result<Vec<Entry>, StoreError> {
    let query = table.client.query().table_name(&table.name).index_name("listed");
    let query = query
        .expression_attribute_values(":partition", AttributeValue::S(list.partition(shard)))
        .scan_index_forward(list == List::Items)
        .limit(i32::try_from(count).map_err(StoreError::corrupt)?);
    let query = match after {
        None => query.key_condition_expression("listed = :partition"),
        Some(after) => {
            let behind = if list == List::Items { ">" } else { "<" };
            query
                .key_condition_expression(format!(
                    "listed = :partition AND listed_place {behind} :after"
                ))
                .expression_attribute_values(":after", AttributeValue::S(after.clone()))
        }
    };
    let answer = query.send().await?;
    let text = |item: &Item, name: &str| match item.get(name) {
        Some(AttributeValue::S(text)) => Ok(text.clone()),
        _ => Err(StoreError::corrupt(format!("an entry of index listed without {name}"))),
    };
    let entry = |item| Ok(Entry { place: text(item, "listed_place")?, key: text(item, "pk")? });
    answer.items().iter().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pages_of_merged_partitions_are_a_plain_sort_cut_into_pieces(
            partitions in prop::collection::vec(prop::collection::btree_set("[a-e]{1,4}", 0..20), 1..5),
            count in 1..9_usize, newest_first in any::<bool>(),
        ) {
            let list = if newest_first { List::Reservations } else { List::Items };
            let places: BTreeSet<_> = partitions.iter().flatten().cloned().collect();
            let mut expected: Vec<_> = places.into_iter().collect();
            expected.sort_by(|a, b| list.order(a, b));
            // A place is in one partition only.
            let shard_of = |place: &str| hash(place) as usize % partitions.len();
            let mut walked: Vec<String> = Vec::new();
            loop {
                let after = walked.last();
                let left = |place: &&String| {
                    after.is_none_or(|after| list.order(after, place) == Ordering::Less)
                };
                let pages = (0..partitions.len()).map(|shard| {
                    let of_shard = expected.iter().filter(|place| shard_of(place) == shard);
                    let next = of_shard.filter(left).take(count);
                    next.map(|place| Entry { place: place.clone(), key: place.clone() }).collect()
                });
                let page = list.first(pages.collect(), count);
                let ends = page.len() < count;
                walked.extend(page.into_iter().map(|entry| entry.place));
                if ends {
                    break;
                }
            }
            prop_assert_eq!(walked, expected);
        }
    }
}
