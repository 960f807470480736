//! Every minute: publishes the events that the streams' relays have not published. The promise that nothing is lost
//! rests on this function.
//!
//! Several shards are swept at once, a page of each in turn, until all are done or the time is over. When an item, a
//! page or a shard fails, this is counted, and the sweep goes on with the others.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use trackops_aws::StoreError;
use trackops_aws::aggregate::{SHARDS, Table};
use trackops_aws::outbox::{Page, Unpublished};
use trackops_aws::relay::RefusedEvent;
use trackops_domain::Timestamp;
use trackops_lambda::error::chain;
use trackops_lambda::task::TaskError;

use crate::outboxes::{EventId, Outboxes, Source};
use crate::publish::{Publisher, Relay};

/// The streams get this long before the sweeper steps in.
const STREAM_HAS: Duration = Duration::from_secs(60);

/// No page is begun after this: the function's timeout is 50 seconds.
const BUDGET: Duration = Duration::from_secs(40);

/// Time to count the items that are left, and time to look up the parked events.
const COUNTS_WITHIN: Duration = Duration::from_secs(2);
const LOOKS_WITHIN: Duration = Duration::from_secs(4);

/// Shards that are swept at once. Each uses at most some 14 connections: 10 to the bus, 4 for trims.
const AT_ONCE: usize = 8;

/// Items that are read in one call.
const BATCH: usize = 100;

/// The schedule's event has none of these fields. An operator can sweep at once with `{"olderThanSeconds": 0}`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    older_than_seconds: Option<u64>,
    part: Option<usize>,
    of: Option<usize>,
}

impl Input {
    fn share(&self) -> Result<Option<Part>, String> {
        match (self.part, self.of) {
            (None, None) => Ok(None),
            (Some(part), Some(of)) => Ok(Some(Part { part, of })),
            _ => Err("part and of go together".to_owned()),
        }
    }
}

/// Several invocations can share the shards; this is the part of one of them: `{"part": 0, "of": 4}`,
/// `{"part": 1, "of": 4}`...
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    part: usize,
    of: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Swept {
    /// Items whose events were all published.
    items: usize,
    /// Items of which the bus refused an event for now.
    failed: usize,
    /// Shards that could not be read to their end.
    failed_shards: usize,
    /// Events that the bus refused for good, and entries that cannot be read.
    parked: usize,
    /// Items that there was no time for. If `left_is_all` is false, there may be more.
    left: usize,
    left_is_all: bool,
}

/// How far the sweep of a shard has come.
struct Turn<'a> {
    table: &'a Table,
    shard: u32,
    next: Page,
}

/// What is common to all turns.
struct Sweep<'a, P> {
    relay: &'a Relay<P>,
    before: Timestamp,
    until: Instant,
    turns: Mutex<VecDeque<Turn<'a>>>,
    swept: Mutex<Swept>,
}

pub async fn handle(
    relay: &Relay<impl Publisher>,
    outboxes: &Outboxes,
    input: Input,
) -> Result<Swept, TaskError> {
    sweep(relay, outboxes, input, BUDGET).await
}

async fn sweep(
    relay: &Relay<impl Publisher>,
    outboxes: &Outboxes,
    input: Input,
    budget: Duration,
) -> Result<Swept, TaskError> {
    let age = input.older_than_seconds.map_or(STREAM_HAS, Duration::from_secs);
    let share = input.share().map_err(TaskError::broken)?;
    let shards = shards(outboxes.all().len(), share).map_err(TaskError::broken)?;
    let turn = |(table, shard): (usize, u32)| {
        let table = outboxes.all().get(table)?;
        Some(Turn { table, shard, next: Page::default() })
    };
    let sweep = Sweep {
        relay,
        before: Timestamp::now().minus(age),
        until: Instant::now() + budget,
        turns: Mutex::new(shards.into_iter().filter_map(turn).collect()),
        swept: Mutex::new(Swept::default()),
    };
    join_all((0..AT_ONCE).map(|_| sweep.work())).await;
    let (left, left_is_all) = sweep.left().await;
    let mut swept = Swept { left, left_is_all, ..*lock(&sweep.swept) };
    let parked = match timeout(LOOKS_WITHIN, parked(relay, outboxes)).await {
        Ok(parked) => parked,
        Err(late) => Err(StoreError::Busy(late.into())),
    };
    match &parked {
        Ok(parked) => swept.parked = *parked,
        Err(error) => tracing::error!(error = chain(error), "nobody knows what is parked"),
    }
    let Swept { items, failed, failed_shards, left, .. } = swept;
    // Alarms count `parked` and `left`.
    match parked {
        Ok(parked) => {
            tracing::info!(items, failed, failed_shards, parked, left, left_is_all, "swept");
        }
        Err(_) => tracing::info!(items, failed, failed_shards, left, left_is_all, "swept"),
    }
    parked?;
    if failed + failed_shards > 0 {
        let failed = format!("{failed} items and {failed_shards} shards failed");
        return Err(TaskError::broken(failed));
    }
    Ok(swept)
}

/// The shards that this invocation sweeps: pairs of the number of a table and the number of a shard.
fn shards(tables: usize, part: Option<Part>) -> Result<Vec<(usize, u32)>, String> {
    let Part { part, of } = part.unwrap_or(Part { part: 0, of: 1 });
    if part >= of {
        return Err(format!("part {part} of {of}: parts are counted from 0"));
    }
    // One shard of each table in turn, so that each part has shards of all tables.
    let all = (0..SHARDS).flat_map(|shard| (0..tables).map(move |table| (table, shard)));
    Ok(all.skip(part).step_by(of).collect())
}

impl<P: Publisher> Sweep<'_, P> {
    /// Takes page after page of the shard that has waited longest for a turn. Only one worker at a time has a shard.
    async fn work(&self) {
        while Instant::now() < self.until {
            let Some(mut turn) = lock(&self.turns).pop_front() else { break };
            match self.page(&turn).await {
                Ok(Some(next)) => {
                    turn.next = next;
                    lock(&self.turns).push_back(turn);
                }
                Ok(None) => {}
                Err(error) => {
                    let Turn { table, shard, .. } = turn;
                    tracing::error!(
                        table = table.name(),
                        shard,
                        error = chain(&error),
                        "not swept"
                    );
                    lock(&self.swept).failed_shards += 1;
                }
            }
        }
    }

    /// An item that cannot be published does not hold up the items behind it.
    async fn page(&self, turn: &Turn<'_>) -> Result<Option<Page>, StoreError> {
        let Turn { table, shard, next } = turn;
        let (keys, next) = table.unpublished_before(*shard, self.before, next.clone()).await?;
        let count = keys.len();
        match table.outboxes(keys).await {
            Ok(items) => self.tell(table, items).await,
            Err(error) => {
                tracing::error!(shard, items = count, error = chain(&error), "not read");
                lock(&self.swept).failed += count;
            }
        }
        Ok(next)
    }

    async fn tell(&self, table: &Table, items: Vec<Unpublished>) {
        let relay = self.relay;
        let refused = refused_of(relay, &items).await;
        let now = Timestamp::now();
        let its_turn = |item: &Unpublished| {
            let refused = item.oldest().and_then(|id| refused.get(&*id));
            refused.is_none_or(|refused| refused.next_attempt() <= now)
        };
        let outcomes = relay.publish(items.into_iter().filter(its_turn).collect()).await;
        relay.settle(table, outcomes.iter().map(|outcome| (&outcome.item, outcome))).await;
        let told = outcomes.iter().flat_map(|outcome| outcome.told());
        let noted: Vec<&str> =
            told.map(|event| &*event.id).filter(|id| refused.contains_key(*id)).collect();
        if let Err(error) = relay.store.forget_these(&noted).await {
            tracing::warn!(error = chain(&error), "published but still noted as refused");
        }
        let mut swept = lock(&self.swept);
        swept.failed += outcomes.iter().filter(|outcome| outcome.is_left()).count();
        swept.items += outcomes.iter().filter(|outcome| outcome.stopped.is_none()).count();
    }

    /// How many items there was no time for, and whether this number is exact.
    async fn left(&self) -> (usize, bool) {
        let turns: Vec<_> = lock(&self.turns).drain(..).collect();
        let counts = turns.into_iter().map(|Turn { table, shard, next }| async move {
            let count = table.count_unpublished(shard, self.before, next);
            match timeout(COUNTS_WITHIN, count).await {
                Ok(Ok(count)) => count,
                Ok(Err(error)) => {
                    tracing::warn!(shard, error = chain(&error), "not counted");
                    (1, false)
                }
                Err(_) => (1, false),
            }
        });
        let counts = join_all(counts).await;
        let left = counts.iter().map(|(count, _)| count).sum();
        (left, counts.iter().all(|(_, is_all)| *is_all))
    }
}

/// A poisoned lock is harmless: nothing panics while the lock is held, and it guards only counts.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is known of the oldest events of these items. If this cannot be read, all items get their turn, which does no
/// harm.
async fn refused_of(
    relay: &Relay<impl Publisher>,
    items: &[Unpublished],
) -> HashMap<String, RefusedEvent> {
    let oldest: Vec<_> = items.iter().filter_map(Unpublished::oldest).collect();
    let oldest: Vec<&str> = oldest.iter().map(|id| &**id).collect();
    match relay.store.refusals(&oldest).await {
        Ok(refused) => refused,
        Err(error) => {
            tracing::error!(error = chain(&error), "nobody knows what was refused before");
            HashMap::new()
        }
    }
}

/// How many events are parked. Events that were published meanwhile are not counted.
async fn parked(relay: &Relay<impl Publisher>, outboxes: &Outboxes) -> Result<usize, StoreError> {
    let noted = relay.store.parked().await?;
    let named: Vec<(EventId, &str)> = noted
        .iter()
        // An event with a malformed id cannot be looked up. It counts as parked until somebody gives it up.
        .filter_map(|event| Some((event.id.parse().ok()?, event.id.as_str())))
        .collect();
    let mut published = Vec::new();
    for source in Source::ALL {
        let of_source: Vec<_> = named.iter().filter(|(id, _)| id.source == source).collect();
        for some in of_source.chunks(BATCH) {
            let mut keys: Vec<_> = some.iter().map(|(id, _)| id.aggregate.clone()).collect();
            keys.sort_unstable();
            keys.dedup();
            let waiting = outboxes.of(source).outboxes(keys).await?;
            let waits = |id: &str| waiting.iter().any(|item| item.position(id).is_some());
            published.extend(some.iter().map(|(_, id)| *id).filter(|id| !waits(id)));
        }
    }
    relay.store.forget_these(&published).await?;
    Ok(noted.len() - published.len())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn parts_have_every_shard_once_and_each_has_its_share_of_every_table() {
        for of in [1, 2, 3, 4, 5, 8, 24] {
            let parts: Vec<_> =
                (0..of).map(|part| shards(3, Some(Part { part, of })).unwrap()).collect();
            let all: Vec<_> = parts.concat();
            assert_eq!(all.len(), 24, "{of} parts");
            assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 24, "{of} parts");
            let sizes = parts.iter().map(Vec::len);
            assert!(sizes.clone().max().unwrap() - sizes.min().unwrap() <= 1, "{of} parts");
        }
        assert_eq!(shards(3, None).unwrap().len(), 24);
        for (part, of) in [(0, 0), (4, 4)] {
            assert!(shards(3, Some(Part { part, of })).is_err(), "part {part} of {of}");
        }
    }

    #[test]
    fn the_schedule_sweeps_all_and_an_operator_may_say_what() {
        let input: Input = serde_json::from_str(r#"{"time": "2026-11-28T12:00:00Z"}"#).unwrap();
        assert_eq!((input.share(), input.older_than_seconds), (Ok(None), None));
        let input: Input =
            serde_json::from_str(r#"{"part": 1, "of": 4, "olderThanSeconds": 0}"#).unwrap();
        let share = Some(Part { part: 1, of: 4 });
        assert_eq!((input.share(), input.older_than_seconds), (Ok(share), Some(0)));
        // A share that cannot be read must not become everything.
        let odd = |input| serde_json::from_str::<Input>(input).map(|input| input.share());
        assert!(odd(r#"{"part": "0", "of": 4}"#).is_err());
        assert!(odd(r#"{"part": 0}"#).unwrap().is_err());
        assert!(odd(r#"{"of": 4}"#).unwrap().is_err());
    }
}
