//! Every minute: publishes what the streams have left behind. The promise that nothing is lost rests on this.

use std::time::{Duration, Instant};

use futures::future::{join_all, try_join_all};
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use trackops_aws::StoreError;
use trackops_aws::aggregate::{SHARDS, Table};
use trackops_aws::outbox::{Page, Unpublished};
use trackops_domain::Timestamp;
use trackops_lambda::task::TaskError;

use crate::outboxes::{EventId, Outboxes};
use crate::publish::{Publisher, Relay};

/// The streams get this long before the sweeper steps in.
const STREAM_HAS: Duration = Duration::from_secs(60);

/// The next run begins before this one must end: the function's timeout is 50 seconds.
const BUDGET: Duration = Duration::from_secs(40);

/// Parked events that are looked at at once.
const CONCURRENT_READS: usize = 16;

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
    parked: usize,
}

pub async fn handle(
    relay: &Relay<impl Publisher>,
    outboxes: &Outboxes,
    input: Input,
) -> Result<Swept, TaskError> {
    let age = input.older_than_seconds.map_or(STREAM_HAS, Duration::from_secs);
    let before = Timestamp::now().minus(age);
    let until = Instant::now() + BUDGET;
    let tables = outboxes.all().iter();
    let shards = tables.flat_map(|table| (0..SHARDS).map(move |shard| (table, shard)));
    let sweeps = shards.map(|(table, shard)| sweep(relay, table, shard, before, until));
    let mut swept = Swept::default();
    for shard in join_all(sweeps).await {
        let shard = shard?;
        swept.items += shard.items;
        swept.failed += shard.failed;
    }
    swept.parked = parked(relay, outboxes).await?;
    // An alarm counts `parked`.
    let Swept { items, failed, parked } = swept;
    tracing::info!(items, failed, parked, "swept");
    if failed > 0 {
        return Err(TaskError::broken(format!("{failed} items are not published")));
    }
    Ok(swept)
}

/// Page after page to the end: what cannot be published keeps nothing behind it waiting.
async fn sweep(
    relay: &Relay<impl Publisher>,
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
        let items = whose_turn_it_is(relay, items.into_iter().flatten().collect()).await?;
        let outcomes = relay.publish(items).await;
        relay.settle(table, outcomes.iter().map(|outcome| (&outcome.item, outcome))).await;
        relay.forget(&outcomes).await?;
        let failed = outcomes.iter().filter(|outcome| outcome.is_left()).count();
        swept.failed += failed;
        swept.items += outcomes.iter().filter(|outcome| outcome.stopped.is_none()).count();
    }
    Ok(swept)
}

/// Without those whose oldest event is parked and was tried not long ago.
async fn whose_turn_it_is(
    relay: &Relay<impl Publisher>,
    mut items: Vec<Unpublished>,
) -> Result<Vec<Unpublished>, StoreError> {
    let oldest: Vec<&str> = items.iter().filter_map(oldest_of).collect();
    let refused = relay.store.refusals(&oldest).await?;
    let now = Timestamp::now();
    items.retain(|item| {
        let refused = oldest_of(item).and_then(|id| refused.get(id));
        refused.is_none_or(|refused| refused.next_attempt() <= now)
    });
    Ok(items)
}

fn oldest_of(item: &Unpublished) -> Option<&str> {
    item.outbox.first().map(|event| event.id.as_str())
}

/// How many events are parked. Those that were published meanwhile are none.
async fn parked(relay: &Relay<impl Publisher>, outboxes: &Outboxes) -> Result<usize, StoreError> {
    let noted = relay.store.parked().await?;
    let looks = noted.iter().map(|event| async move {
        let Ok(EventId { aggregate, source, .. }) = event.id.parse() else {
            return Err(StoreError::corrupt(format!("{} is parked and no event", event.id)));
        };
        let waiting = outboxes.of(source).unpublished(&aggregate).await?;
        let waits = waiting.is_some_and(|item| item.outbox.iter().any(|it| it.id == event.id));
        Ok((!waits).then_some(event.id.as_str()))
    });
    let looks = stream::iter(looks.collect::<Vec<_>>()).buffer_unordered(CONCURRENT_READS);
    let published: Vec<Option<&str>> = looks.try_collect().await?;
    let published: Vec<&str> = published.into_iter().flatten().collect();
    relay.store.forget(&published).await?;
    Ok(noted.len() - published.len())
}
