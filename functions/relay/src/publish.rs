//! Publishing outboxes: in order per aggregate. Events that the bus took are removed from the outbox, events that it
//! refused are noted.

use std::borrow::Cow;
use std::collections::BTreeMap;

use aws_types::SdkConfig;
use futures::{StreamExt, join, stream};
use trackops_aws::StoreError;
use trackops_aws::aggregate::Table;
use trackops_aws::bus::Refusal;
use trackops_aws::outbox::{OutboxEntry, Told, Unpublished};
use trackops_aws::relay::RelayStore;
use trackops_domain::Timestamp;
use trackops_lambda::Error;
use trackops_lambda::error::chain;

use crate::bus::EventBus;

/// Writes under way at once.
const CONCURRENT_WRITES: usize = 16;

/// The code of an entry that this version of the relay cannot read as an event.
pub const UNREADABLE: &str = "Unreadable";

/// Where events go: EventBridge, Kafka, or a test that refuses some.
pub trait Publisher: Sync {
    /// The kind of bus, as statistics call it.
    fn kind(&self) -> &'static str;

    /// One result for each event, in the order given.
    fn publish(
        &self,
        events: &[&OutboxEntry],
    ) -> impl Future<Output = Vec<Result<(), Refusal>>> + Send;
}

/// The outcome of publishing an item's events.
#[derive(Debug)]
pub struct Outcome {
    pub item: Unpublished,
    /// How many of its events the bus took, beginning with the oldest.
    pub told: usize,
    /// How the bus refused the next event, if it did.
    pub stopped: Option<Stopped>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Stopped {
    /// The bus refused the event for good, and the relay's table says so: the caller need not publish it again.
    Parked(Refusal),
    /// The caller has to publish the event again.
    Left(Refusal),
}

impl Outcome {
    pub fn told(&self) -> &[OutboxEntry] {
        &self.item.outbox[..self.told]
    }

    /// The id of the event that did not go out, and why.
    pub fn stopped(&self) -> Option<(Cow<'_, str>, &Stopped)> {
        let stopped = self.stopped.as_ref()?;
        let id = match self.item.outbox.get(self.told) {
            Some(event) => (&event.id).into(),
            None => self.item.odd()?.id.into(),
        };
        Some((id, stopped))
    }

    pub const fn is_parked(&self) -> bool {
        matches!(self.stopped, Some(Stopped::Parked(_)))
    }

    pub const fn is_left(&self) -> bool {
        matches!(self.stopped, Some(Stopped::Left(_)))
    }
}

impl Stopped {
    pub const fn refusal(&self) -> &Refusal {
        match self {
            Self::Parked(refusal) | Self::Left(refusal) => refusal,
        }
    }
}

/// The bus, and the relay's own table.
pub struct Relay<P> {
    pub bus: P,
    pub store: RelayStore,
}

impl Relay<EventBus> {
    /// The bus as in [`EventBus::connect`], and the table that `RELAY_TABLE` names.
    pub async fn connect(config: &SdkConfig, source: Option<&str>) -> Result<Self, Error> {
        let bus = EventBus::connect(config, source).await?;
        Ok(Self { bus, store: crate::store(config)? })
    }
}

impl<P: Publisher> Relay<P> {
    /// Publishes the events of these items, as far as the bus takes them.
    pub async fn publish(&self, items: Vec<Unpublished>) -> Vec<Outcome> {
        let mut outcomes = publish(&self.bus, items).await;
        let now = Timestamp::now();
        let notes = outcomes.iter().enumerate().filter_map(|(number, outcome)| {
            let (id, stopped) = outcome.stopped()?;
            let refusal = stopped.refusal();
            tracing::error!(event = &*id, error = %refusal, "not published");
            Some(async move {
                let noted = self.note(outcome, refusal, now).await;
                if let Err(error) = &noted {
                    tracing::error!(event = &*id, error = chain(error), "not noted");
                }
                (number, noted.is_ok() && matches!(refusal, Refusal::ForGood { .. }))
            })
        });
        let notes = stream::iter(notes.collect::<Vec<_>>()).buffer_unordered(CONCURRENT_WRITES);
        for (number, parked) in notes.collect::<Vec<_>>().await {
            let outcome = &mut outcomes[number];
            outcome.stopped = outcome.stopped.take().map(|stopped| match stopped {
                Stopped::Left(refusal) if parked => Stopped::Parked(refusal),
                stopped => stopped,
            });
        }
        outcomes
    }

    async fn note(
        &self,
        outcome: &Outcome,
        refusal: &Refusal,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let Outcome { item, told, .. } = outcome;
        match (item.outbox.get(*told), item.odd()) {
            (Some(event), _) => self.store.refused(&item.pk, event, refusal, now).await,
            (None, Some(odd)) => self.store.unreadable(&item.pk, &odd, refusal, now).await,
            (None, None) => Ok(()),
        }
    }

    /// Counts the published events and removes them from each outbox. The outbox is given as it was read; the outcome
    /// is of all its events, or of the first ones. Events that cannot be removed are published again later, which does
    /// no harm.
    pub async fn settle<'a>(
        &self,
        table: &Table,
        published: impl IntoIterator<Item = (&'a Unpublished, &'a Outcome)>,
    ) {
        let (mut told, mut taken) = (Vec::new(), BTreeMap::<&str, u64>::new());
        for (image, outcome) in published {
            for event in outcome.told() {
                *taken.entry(event.kind.name()).or_default() += 1;
            }
            told.push(Told { read: image, count: outcome.told });
        }
        let (forgotten, ()) = join!(table.forget_all(&told), self.count(&taken));
        if let Err(error) = forgotten {
            let items = told.len();
            tracing::warn!(items, error = chain(&error), "published, but not all of them trimmed");
        }
    }

    /// Forgets that events were refused once, now that they are published.
    pub async fn forget(
        &self,
        outcomes: impl IntoIterator<Item = &Outcome>,
    ) -> Result<(), StoreError> {
        let told = outcomes.into_iter().flat_map(Outcome::told);
        let ids: Vec<&str> = told.map(|event| event.id.as_str()).collect();
        self.store.forget(&ids).await
    }

    /// The same, but a failure does not matter: nobody reads the notes that are left, and they expire.
    pub async fn tidy_up(&self, outcomes: impl IntoIterator<Item = &Outcome>) {
        if let Err(error) = self.forget(outcomes).await {
            tracing::warn!(error = chain(&error), "published but still noted as refused");
        }
    }

    /// One write for all of them. If it fails, only the statistics are wrong.
    async fn count(&self, taken: &BTreeMap<&str, u64>) {
        if taken.is_empty() {
            return;
        }
        if let Err(error) = self.store.count(self.bus.kind(), taken, Timestamp::now()).await {
            tracing::warn!(error = chain(&error), "published but not counted");
        }
    }
}

/// Publishes events, and writes to no table.
///
/// A call to the bus may refuse some of its events, so one call never carries two events of one item: the
/// second goes out in the next round, and only when the first was taken.
pub async fn publish(bus: &impl Publisher, items: Vec<Unpublished>) -> Vec<Outcome> {
    let untold = |item| Outcome { item, told: 0, stopped: None };
    let unreadable = || Refusal::for_good(UNREADABLE, "this entry of the outbox makes no sense");
    let mut outcomes: Vec<Outcome> = items.into_iter().map(untold).collect();
    loop {
        let goes_on = |outcome: &&mut Outcome| {
            outcome.stopped.is_none() && outcome.told < outcome.item.outbox.len()
        };
        let mut round: Vec<&mut Outcome> = outcomes.iter_mut().filter(goes_on).collect();
        if round.is_empty() {
            // The events behind an entry that nobody can read must not overtake it.
            for outcome in outcomes.iter_mut().filter(|it| !it.item.unreadable.is_empty()) {
                outcome.stopped.get_or_insert_with(|| Stopped::Left(unreadable()));
            }
            return outcomes;
        }
        let events: Vec<&OutboxEntry> =
            round.iter().map(|outcome| &outcome.item.outbox[outcome.told]).collect();
        let results = bus.publish(&events).await;
        for (outcome, result) in round.iter_mut().zip(results) {
            match result {
                Ok(()) => outcome.told += 1,
                Err(refusal) => outcome.stopped = Some(Stopped::Left(refusal)),
            }
        }
    }
}

#[cfg(test)]
pub mod tests {
    use std::sync::Mutex;

    use super::*;
    use trackops_domain::event::EventType;

    /// Refuses the events that it is told to refuse, and notes what it took, call by call.
    #[derive(Default)]
    pub struct Picky {
        pub refuses: Vec<&'static str>,
        pub took: Mutex<Vec<Vec<String>>>,
    }

    impl Publisher for Picky {
        fn kind(&self) -> &'static str {
            "picky"
        }

        async fn publish(&self, events: &[&OutboxEntry]) -> Vec<Result<(), Refusal>> {
            let refused = |event: &&OutboxEntry| self.refuses.contains(&event.id.as_str());
            let took = events.iter().filter(|e| !refused(e)).map(|e| e.id.clone()).collect();
            self.took.lock().unwrap().push(took);
            let refusal = || Refusal::for_now("ThrottlingException", "");
            events.iter().map(|e| if refused(e) { Err(refusal()) } else { Ok(()) }).collect()
        }
    }

    pub fn item(pk: &str, ids: &[&str]) -> Unpublished {
        let entry = |id: &&str| OutboxEntry {
            id: (*id).into(),
            kind: EventType::OrderCreated.into(),
            time: Timestamp::from_millis(0),
            traceparent: None,
            body: "{}".into(),
        };
        Unpublished::new(pk.into(), ids.iter().map(entry).collect())
    }

    #[tokio::test]
    async fn an_event_never_overtakes_a_refused_one_of_its_item() {
        let bus = Picky { refuses: vec!["a2"], ..Picky::default() };
        let items = vec![item("A", &["a1", "a2", "a3"]), item("B", &["b1", "b2", "b3"])];
        let outcomes = publish(&bus, items).await;
        let told: Vec<_> = outcomes.iter().map(|it| (it.item.pk.as_str(), it.told)).collect();
        assert_eq!(told, [("A", 1), ("B", 3)]);
        let (id, stopped) = outcomes[0].stopped().unwrap();
        assert_eq!(id, "a2");
        assert_eq!(*stopped.refusal(), Refusal::for_now("ThrottlingException", ""));
        assert!(outcomes[1].stopped().is_none());
        assert_eq!(*bus.took.lock().unwrap(), [vec!["a1", "b1"], vec!["b2"], vec!["b3"]]);
    }

    #[tokio::test]
    async fn one_call_never_carries_two_events_of_one_item() {
        let bus = Picky::default();
        let outcomes = publish(&bus, vec![item("A", &["a1", "a2", "a3"])]).await;
        assert_eq!(outcomes[0].told, 3);
        assert_eq!(*bus.took.lock().unwrap(), [["a1"], ["a2"], ["a3"]]);
    }
}
