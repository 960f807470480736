//! Every minute: publishes what the streams have left behind. The promise that nothing is lost rests on this.

use std::time::{Duration, Instant};

use futures::future::{join_all, try_join_all};
use serde::{Deserialize, Serialize};
use trackops_aws::StoreError;
use trackops_aws::aggregate::{SHARDS, Table};
use trackops_aws::outbox::Page;
use trackops_domain::Timestamp;
use trackops_lambda::task::TaskError;

use crate::publish::{Publisher, publish, trim};

/// The streams get this long before the sweeper steps in.
const STREAM_HAS: Duration = Duration::from_secs(60);

/// The next run begins before this one must end: the function's timeout is 50 seconds.
const BUDGET: Duration = Duration::from_secs(40);

/// The schedule's event has none of this; an operator can sweep at once with `{"olderThanSeconds": 0}`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    older_than_seconds: Option<u64>,
}

#[derive(Debug, Default, Serialize)]
pub struct Swept {
    items: usize,
    failed: usize,
}

pub async fn handle(
    bus: &impl Publisher,
    tables: &[Table],
    input: Input,
) -> Result<Swept, TaskError> {
    let age = input.older_than_seconds.map_or(STREAM_HAS, Duration::from_secs);
    let before = Timestamp::now().minus(age);
    let until = Instant::now() + BUDGET;
    let shards = tables.iter().flat_map(|table| (0..SHARDS).map(move |shard| (table, shard)));
    let sweeps = shards.map(|(table, shard)| sweep(bus, table, shard, before, until));
    let mut swept = Swept::default();
    for shard in join_all(sweeps).await {
        let shard = shard?;
        swept.items += shard.items;
        swept.failed += shard.failed;
    }
    tracing::info!(items = swept.items, failed = swept.failed, "swept");
    if swept.failed > 0 {
        return Err(TaskError::broken(format!("{} items are not published", swept.failed)));
    }
    Ok(swept)
}

/// Page after page to the end: what cannot be published keeps nothing behind it waiting.
async fn sweep(
    bus: &impl Publisher,
    table: &Table,
    shard: u32,
    before: Timestamp,
    until: Instant,
) -> Result<Swept, StoreError> {
    let mut swept = Swept::default();
    let mut next = Some(Page::default());
    while let Some(page) = next.take_if(|_| Instant::now() < until) {
        let keys;
        (keys, next) = table.unpublished_before(shard, before, page).await?;
        let items = try_join_all(keys.iter().map(|key| table.unpublished(key))).await?;
        let items: Vec<_> = items.into_iter().flatten().collect();
        let failed = publish(bus, &items).await;
        let (count, failures) = (items.len(), failed.len());
        let published = items.into_iter().filter(|item| !failed.contains(&item.pk));
        trim(table, published.collect()).await;
        swept.items += count - failures;
        swept.failed += failures;
    }
    Ok(swept)
}
