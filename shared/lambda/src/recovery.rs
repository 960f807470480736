//! Looking after the items that are due: each item gets its turn alone, and an item that cannot be helped does not hold
//! up the others.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures::{FutureExt, StreamExt, stream};
use serde::Serialize;
use tokio::time::timeout;
use trackops_aws::StoreError;
use trackops_aws::aggregate::Table;
use trackops_aws::due::{Due, Met, Walk};
use trackops_domain::{OrderId, Timestamp};

use crate::error::chain;
use crate::task::TaskError;

/// How long until an item that stays due gets its next turn.
const AGAIN_AFTER: Duration = Duration::from_secs(60);

/// After this time in a run no further item gets its turn: the functions' timeout is 50 seconds.
const BUDGET: Duration = Duration::from_secs(30);

/// How long the work on one item may take, so that an item that hangs does not use up the time of the others.
const TURN: Duration = Duration::from_secs(10);

/// How many items have their turn at the same time: a slow item does not hold up the others, and a run opens few
/// connections.
const AT_ONCE: usize = 32;

/// The result of helping an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Helped {
    Done,
    /// Somebody else has to decide; how long until the item gets its next turn.
    Waits(Duration),
}

#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Recovered {
    /// How many items had their turn.
    due: usize,
    /// How many of these wait for somebody else.
    waiting: usize,
    failed: usize,
}

/// Finds the items that are due and postpones them: a table, or a fake in tests.
pub trait Agenda: Sync {
    fn next(&self, walk: &mut Walk) -> impl Future<Output = Option<Met>> + Send;

    /// False when the item has moved on, or somebody else is looking at it.
    fn postpone(
        &self,
        due: &Due,
        until: Timestamp,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;
}

impl Agenda for Table {
    async fn next(&self, walk: &mut Walk) -> Option<Met> {
        self.walk_due(walk).await
    }

    async fn postpone(&self, due: &Due, until: Timestamp) -> Result<bool, StoreError> {
        Self::postpone(self, due, until).await
    }
}

#[derive(Debug, thiserror::Error)]
enum Failure<E: std::error::Error + 'static> {
    #[error("it cannot be put off, so it was not helped")]
    NotPostponed(#[source] StoreError),
    #[error("it cannot be found")]
    NoId(#[source] StoreError),
    #[error(transparent)]
    NotHelped(E),
    #[error("it took too long")]
    Hangs,
    #[error("it crashed: {0}")]
    Crashed(String),
}

/// Helps all items that are due now. Fails when an item could not be helped, so that an alarm rings.
pub async fn recover<F, E>(
    agenda: &impl Agenda,
    help: impl Fn(OrderId) -> F,
) -> Result<Recovered, TaskError>
where
    F: Future<Output = Result<Helped, E>>,
    E: std::error::Error + 'static,
{
    recover_in(agenda, help, BUDGET, TURN).await
}

async fn recover_in<F, E>(
    agenda: &impl Agenda,
    help: impl Fn(OrderId) -> F,
    budget: Duration,
    longest_turn: Duration,
) -> Result<Recovered, TaskError>
where
    F: Future<Output = Result<Helped, E>>,
    E: std::error::Error + 'static,
{
    let until = Instant::now() + budget;
    let mut recovered = Recovered::default();
    let mut walk = Walk::new(Timestamp::now());
    while let Some(met) = agenda.next(&mut walk).await {
        for error in met.unread {
            tracing::error!(error = chain(&error), "what is due cannot be read");
            recovered.failed += 1;
        }
        // Items that are left when the time is up are still due, and are the first of the next run.
        let in_time = |_: &Due| std::future::ready(Instant::now() < until);
        let turns = stream::iter(met.due).take_while(in_time).map(async |due| {
            let turn = AssertUnwindSafe(turn(agenda, &help, &due)).catch_unwind();
            let helped = match timeout(longest_turn, turn).await {
                Ok(Ok(helped)) => helped,
                Ok(Err(panic)) => Err(Failure::Crashed(said(panic.as_ref()))),
                Err(_) => Err(Failure::Hangs),
            };
            if let Err(error) = &helped {
                tracing::error!(item = due.key(), error = chain(error), "not recovered");
            }
            helped
        });
        let mut turns = std::pin::pin!(turns.buffer_unordered(AT_ONCE));
        while let Some(helped) = turns.next().await {
            recovered.due += 1;
            match helped {
                Ok(Helped::Done) => {}
                Ok(Helped::Waits(_)) => recovered.waiting += 1,
                Err(_) => recovered.failed += 1,
            }
        }
        if Instant::now() >= until {
            break;
        }
    }
    let Recovered { due, waiting, failed } = recovered;
    tracing::info!(due, waiting, failed, "recovered");
    if failed > 0 {
        return Err(TaskError::broken(format!("{failed} of {due} could not be recovered")));
    }
    Ok(recovered)
}

/// Postpones the item before helping it, so that an item that cannot be helped is not the first of the next run.
async fn turn<F, E>(
    agenda: &impl Agenda,
    help: impl Fn(OrderId) -> F,
    due: &Due,
) -> Result<Helped, Failure<E>>
where
    F: Future<Output = Result<Helped, E>>,
    E: std::error::Error + 'static,
{
    let again = Timestamp::now().plus(AGAIN_AFTER);
    let mine = agenda.postpone(due, again).await.map_err(Failure::NotPostponed)?;
    let id = due.id().map_err(Failure::NoId)?;
    if !mine {
        return Ok(Helped::Done);
    }
    let helped = help(id).await.map_err(Failure::NotHelped)?;
    if let Helped::Waits(longer) = helped
        && longer > AGAIN_AFTER
    {
        let (due, until) = (Due::new(due.key(), again), Timestamp::now().plus(longer));
        // It is postponed already, only not so far.
        if let Err(error) = agenda.postpone(&due, until).await {
            tracing::warn!(item = due.key(), error = chain(&error), "not put off any longer");
        }
    }
    Ok(helped)
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "no reason given".to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    use super::*;

    /// An index in pages of three. Items whose key contains `throttled` cannot be postponed.
    struct Book {
        all: Mutex<BTreeMap<String, Timestamp>>,
        pages: Mutex<std::vec::IntoIter<Met>>,
    }

    impl Book {
        fn of(keys: impl IntoIterator<Item = String>) -> Self {
            let long_ago = Timestamp::from_millis(0);
            let keys: Vec<_> = keys.into_iter().collect();
            let due: Vec<_> = keys.iter().map(|key| Due::new(key, long_ago)).collect();
            let pages = due.chunks(3).map(|due| Met { due: due.to_vec(), unread: Vec::new() });
            let pages: Vec<_> = pages.collect();
            Self {
                all: Mutex::new(keys.into_iter().map(|key| (key, long_ago)).collect()),
                pages: Mutex::new(pages.into_iter()),
            }
        }

        fn until(&self, key: &str) -> Timestamp {
            self.all.lock().unwrap()[key]
        }
    }

    impl Agenda for Book {
        async fn next(&self, _: &mut Walk) -> Option<Met> {
            self.pages.lock().unwrap().next()
        }

        async fn postpone(&self, due: &Due, until: Timestamp) -> Result<bool, StoreError> {
            if due.key().contains("throttled") {
                return Err(StoreError::Busy("ThrottlingException".into()));
            }
            let mut all = self.all.lock().unwrap();
            let at = all.get_mut(due.key()).unwrap();
            let mine = Due::new(due.key(), *at) == *due;
            if mine {
                *at = until;
            }
            Ok(mine)
        }
    }

    fn ids(count: usize) -> Vec<OrderId> {
        (0..count).map(|_| OrderId::generate()).collect()
    }

    fn keys(ids: &[OrderId]) -> Vec<String> {
        ids.iter().map(|id| format!("ORDER#{id}")).collect()
    }

    /// The items that were helped, and the result of the run; `odd` gives the result for its items.
    async fn run(
        book: &Book,
        odd: impl AsyncFn(OrderId) -> Result<Helped, StoreError>,
    ) -> (Vec<OrderId>, Result<Recovered, TaskError>) {
        let helped = Mutex::new(Vec::new());
        let help = |id| {
            helped.lock().unwrap().push(id);
            odd(id)
        };
        let said = recover_in(book, help, BUDGET, Duration::from_millis(100));
        let said = timeout(Duration::from_secs(60), said).await.expect("the run ends");
        (helped.into_inner().unwrap(), said)
    }

    #[tokio::test]
    async fn items_that_cannot_be_put_off_keep_no_other_from_its_turn() {
        // They have ids as well, and are not helped all the same.
        let throttled = keys(&ids(7)).into_iter().map(|key| format!("throttled-{key}"));
        let ids = ids(10);
        let mut all = keys(&ids);
        all.splice(0..0, throttled);
        let (mut helped, said) = run(&Book::of(all), async |_| Ok(Helped::Done)).await;
        helped.sort();
        let mut ids = ids;
        ids.sort();
        assert_eq!(helped, ids);
        assert!(said.unwrap_err().to_string().starts_with("Broken"), "no alarm would ring");
    }

    #[tokio::test]
    async fn a_key_without_an_id_is_put_off_and_keeps_no_other_from_its_turn() {
        let ids = ids(4);
        let mut all = keys(&ids);
        all.insert(0, "nonsense".into());
        let book = Book::of(all);
        let (helped, said) = run(&book, async |_| Ok(Helped::Done)).await;
        assert_eq!(helped.len(), 4);
        assert!(said.is_err());
        assert!(book.until("nonsense") > Timestamp::now(), "it heads the next run too");
    }

    #[tokio::test]
    async fn an_item_that_fails_panics_or_hangs_ends_its_own_turn_alone() {
        let ids = ids(9);
        let odd = [ids[0], ids[1], ids[2]];
        let book = Book::of(keys(&ids));
        let (helped, said) = run(&book, async |id| match odd.iter().position(|odd| *odd == id) {
            Some(0) => Err(StoreError::Stale),
            Some(1) => panic!("a bug"),
            Some(_) => std::future::pending().await,
            None => Ok(Helped::Done),
        })
        .await;
        assert_eq!(helped.len(), 9, "some did not get their turn");
        let told = chain(&said.unwrap_err());
        assert!(told.contains("3 of 9"), "{told}");
    }

    #[tokio::test]
    async fn a_shard_that_cannot_be_read_is_counted_and_the_others_are_helped() {
        let ids = ids(2);
        let book = Book::of(keys(&ids));
        let unread = vec![StoreError::Busy("ThrottlingException".into())];
        let mut pages = vec![Met { due: Vec::new(), unread }];
        pages.extend(book.pages.lock().unwrap().by_ref());
        *book.pages.lock().unwrap() = pages.into_iter();
        let (helped, said) = run(&book, async |_| Ok(Helped::Done)).await;
        assert_eq!(helped.len(), 2);
        assert!(said.is_err());
    }

    #[tokio::test]
    async fn what_waits_for_somebody_else_is_asked_for_again_when_it_says_and_rings_no_alarm() {
        let ids = ids(2);
        let book = Book::of(keys(&ids));
        let hour = Duration::from_secs(3600);
        let (_, said) = run(&book, async |id| {
            Ok(if id == ids[0] { Helped::Waits(hour) } else { Helped::Done })
        })
        .await;
        assert_eq!(said.unwrap(), Recovered { due: 2, waiting: 1, failed: 0 });
        let again: Vec<_> = keys(&ids).iter().map(|key| book.until(key)).collect();
        assert!(again[0] > Timestamp::now().plus(hour / 2), "{again:?}");
        assert!(again[1] < Timestamp::now().plus(hour / 2), "{again:?}");
    }
}
