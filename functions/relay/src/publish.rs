//! Publishing outboxes: in order per aggregate, and what was published is forgotten.

use std::collections::HashSet;

use futures::StreamExt;
use futures::stream;
use trackops_aws::aggregate::Table;
use trackops_aws::bus::{Bus, Refusal};
use trackops_aws::outbox::{OutboxEntry, Unpublished};
use trackops_lambda::error::chain;

/// Trims under way at once.
const CONCURRENT_TRIMS: usize = 16;

/// Where events go: EventBridge, Kafka, or a test that refuses some.
pub trait Publisher: Sync {
    /// One result for each event, in the order given.
    fn publish(
        &self,
        events: &[&OutboxEntry],
    ) -> impl Future<Output = Vec<Result<(), Refusal>>> + Send;
}

impl Publisher for Bus {
    async fn publish(&self, events: &[&OutboxEntry]) -> Vec<Result<(), Refusal>> {
        Self::publish(self, events).await
    }
}

/// The keys of items of which not everything could be published.
///
/// A call to the bus may refuse some of its events, so one call never carries two events of one item: the
/// second goes out in the next round, and only when the first was taken.
pub async fn publish(bus: &impl Publisher, items: &[Unpublished]) -> HashSet<String> {
    let mut failed = HashSet::new();
    let rounds = items.iter().map(|item| item.outbox.len()).max().unwrap_or(0);
    for round in 0..rounds {
        let (keys, events): (Vec<&str>, Vec<&OutboxEntry>) = items
            .iter()
            .filter(|item| !failed.contains(&item.pk))
            .filter_map(|item| Some((item.pk.as_str(), item.outbox.get(round)?)))
            .unzip();
        for ((key, event), result) in keys.iter().zip(&events).zip(bus.publish(&events).await) {
            if let Err(refusal) = result {
                tracing::error!(event = event.id, error = %refusal, "not published");
                failed.insert((*key).to_owned());
            }
        }
    }
    failed
}

/// Forgets what was published. What cannot be trimmed is published again later, which does no harm.
pub async fn trim(table: &Table, published: Vec<Unpublished>) {
    let trims = stream::iter(published).map(|item| async move {
        if let Err(error) = table.trim(&item).await {
            tracing::warn!(item = item.pk, error = chain(&error), "published but not trimmed");
        }
    });
    trims.buffer_unordered(CONCURRENT_TRIMS).collect::<()>().await;
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use trackops_domain::Timestamp;
    use trackops_domain::event::EventType;

    /// Refuses the events it is told to and notes what it took, call by call.
    #[derive(Default)]
    struct Picky {
        refuses: Vec<&'static str>,
        took: Mutex<Vec<Vec<String>>>,
    }

    impl Publisher for Picky {
        async fn publish(&self, events: &[&OutboxEntry]) -> Vec<Result<(), Refusal>> {
            let refused = |event: &&OutboxEntry| self.refuses.contains(&event.id.as_str());
            let took = events.iter().filter(|e| !refused(e)).map(|e| e.id.clone()).collect();
            self.took.lock().unwrap().push(took);
            let refusal = || Refusal::for_now("ThrottlingException", "");
            events.iter().map(|e| if refused(e) { Err(refusal()) } else { Ok(()) }).collect()
        }
    }

    fn item(pk: &str, ids: &[&str]) -> Unpublished {
        let entry = |id: &&str| OutboxEntry {
            id: (*id).into(),
            kind: EventType::OrderCreated,
            time: Timestamp::from_millis(0),
            traceparent: None,
            body: "{}".into(),
        };
        Unpublished { pk: pk.into(), outbox: ids.iter().map(entry).collect() }
    }

    #[tokio::test]
    async fn an_event_never_overtakes_a_refused_one_of_its_item() {
        let bus = Picky { refuses: vec!["a1"], ..Picky::default() };
        let items = [item("A", &["a1", "a2"]), item("B", &["b1", "b2"])];
        assert_eq!(publish(&bus, &items).await, HashSet::from(["A".to_owned()]));
        assert_eq!(*bus.took.lock().unwrap(), [vec!["b1".to_owned()], vec!["b2".to_owned()]]);
    }

    #[tokio::test]
    async fn one_call_never_carries_two_events_of_one_item() {
        let bus = Picky::default();
        assert!(publish(&bus, &[item("A", &["a1", "a2", "a3"])]).await.is_empty());
        assert_eq!(bus.took.lock().unwrap().len(), 3);
    }
}
