//! The sparse `due` index: items that somebody has to look at, by the time when they are due.

use aws_sdk_dynamodb::types::AttributeValue;
use futures::future::join_all;
use trackops_domain::{OrderId, Timestamp};

use crate::aggregate::{SHARDS, Table};
use crate::error::StoreError;
use crate::outbox::Page;

/// An item whose time has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    key: String,
    since: String,
}

impl Due {
    pub fn new(key: impl Into<String>, since: Timestamp) -> Self {
        Self { key: key.into(), since: since.to_string() }
    }

    pub fn key(&self) -> &str {
        &self.key
    }

    /// `Corrupt` when the key has no id. Such an item must not hold up the others.
    pub fn id(&self) -> Result<OrderId, StoreError> {
        let id = self.key.split_once('#').and_then(|(_, id)| id.parse().ok());
        id.ok_or_else(|| StoreError::corrupt(format!("{} is due but has no id", self.key)))
    }
}

/// A walk through all items that were due at one time. It goes on after the last item that it has met, so it meets an
/// item that cannot be postponed only once.
#[derive(Debug)]
pub struct Walk {
    before: Timestamp,
    shards: Vec<(u32, Page)>,
}

impl Walk {
    pub fn new(before: Timestamp) -> Self {
        Self { before, shards: (0..SHARDS).map(|shard| (shard, Page::default())).collect() }
    }

    /// Whether the walk has met everything that could be read.
    pub const fn is_done(&self) -> bool {
        self.shards.is_empty()
    }
}

/// A part of a walk: at most a page of each shard.
#[derive(Debug, Default)]
pub struct Met {
    /// Longest overdue first.
    pub due: Vec<Due>,
    /// One error for each shard that could not be read; the walk ends in that shard.
    pub unread: Vec<StoreError>,
}

impl Table {
    /// Whether the index can be read.
    pub async fn check_due(&self) -> Result<(), StoreError> {
        self.index("due", "due_at", 0, Timestamp::now(), Page::default()).await.map(drop)
    }

    /// The next part of the walk; `None` at its end.
    pub async fn walk_due(&self, walk: &mut Walk) -> Option<Met> {
        if walk.shards.is_empty() {
            return None;
        }
        let reads = walk.shards.drain(..).map(async |(shard, page)| {
            (shard, self.index("due", "due_at", shard, walk.before, page).await)
        });
        let (mut met, mut left) = (Met::default(), Vec::new());
        for (shard, read) in join_all(reads).await {
            match read {
                Ok((entries, next)) => {
                    met.due.extend(entries.into_iter().map(|(key, since)| Due { key, since }));
                    left.extend(next.map(|next| (shard, next)));
                }
                Err(error) => met.unread.push(error),
            }
        }
        walk.shards = left;
        met.due.sort_by(|a, b| a.since.cmp(&b.since));
        Some(met)
    }

    /// What is due now, longest overdue first, at most a page of each shard.
    pub async fn due(&self, now: Timestamp) -> Result<Vec<Due>, StoreError> {
        let met = self.walk_due(&mut Walk::new(now)).await.unwrap_or_default();
        met.unread.into_iter().next().map_or(Ok(met.due), Err)
    }

    /// Makes the item due again at that time, if it is still due. So items that stay due do not hold up others. False
    /// when the item has moved on, or somebody else is looking at it.
    pub async fn postpone(&self, due: &Due, until: Timestamp) -> Result<bool, StoreError> {
        let update = self.client.update_item().table_name(&self.name);
        let update = update.key("pk", AttributeValue::S(due.key.clone()));
        let update = update.update_expression("SET due_at = :until");
        let update = update.condition_expression("due_at = :since");
        let update =
            update.expression_attribute_values(":until", AttributeValue::S(until.to_string()));
        let update =
            update.expression_attribute_values(":since", AttributeValue::S(due.since.clone()));
        match update.send().await.map_err(StoreError::from) {
            Ok(_) => Ok(true),
            Err(StoreError::Stale) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::canned::{Canned, error};

    #[tokio::test]
    async fn a_shard_that_is_throttled_and_a_key_without_an_id_keep_none_of_the_others() {
        let found = |keys: &[&str]| {
            let items = keys.iter().map(|key| json!({"pk": {"S": key}, "due_at": {"S": "2026"}}));
            (200, json!({"Items": items.collect::<Vec<_>>()}))
        };
        let throttled = (400, error("ThrottlingException"));
        let id = OrderId::generate();
        let (order, rest) = (format!("ORDER#{id}"), vec![found(&[]); 6]);
        let answers = [throttled, found(&["ORDER#no-id", &order])].into_iter().chain(rest);
        let dynamodb = Canned::answering(answers);
        let mut walk = Walk::new(Timestamp::now());
        let met = dynamodb.table().walk_due(&mut walk).await.unwrap();
        assert_eq!(met.unread.len(), 1);
        let ids: Vec<_> = met.due.iter().map(|due| due.id().ok()).collect();
        assert_eq!(ids, [None, Some(id)]);
        assert!(walk.is_done());
    }
}
