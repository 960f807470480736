//! The sparse `due` index: items that somebody has to look at by then.

use aws_sdk_dynamodb::types::AttributeValue;
use futures::future::try_join_all;
use trackops_domain::{OrderId, Timestamp};

use crate::aggregate::{SHARDS, Table};
use crate::error::StoreError;
use crate::outbox::Page;

/// An item whose time has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    pub id: OrderId,
    key: String,
    since: String,
}

impl Table {
    /// Whether what is due can be found.
    pub async fn check_due(&self) -> Result<(), StoreError> {
        self.index("due", "due_at", 0, Timestamp::now(), Page::default()).await.map(drop)
    }

    /// What is due now, longest overdue first, at most a page of each shard.
    pub async fn due(&self, now: Timestamp) -> Result<Vec<Due>, StoreError> {
        let pages =
            (0..SHARDS).map(|shard| self.index("due", "due_at", shard, now, Page::default()));
        let pages = try_join_all(pages).await?;
        let entries = pages.into_iter().flat_map(|(entries, _)| entries);
        entries
            .map(|(key, since)| {
                let id = key.split_once('#').and_then(|(_, id)| id.parse().ok());
                let id =
                    id.ok_or_else(|| StoreError::corrupt(format!("{key} is due but has no id")))?;
                Ok(Due { id, key, since })
            })
            .collect()
    }

    /// Looks at it again then, if it is still due; so those that stay due do not keep others waiting.
    /// False when the item has moved on, or somebody else is looking at it.
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
