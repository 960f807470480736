//! Consumes a table's stream and publishes the events that are still in the items' outboxes. Only records that failed
//! are delivered again. A record whose event the bus refuses for good counts as done, so it does not hold up other
//! records.
//!
//! Lambda delivers a batch again from its lowest record that failed, with the same images as the first time. By then
//! the events of the later records are published and removed from their outboxes. So when a batch may be such a
//! repetition, the relay does not trust the images: it reads from the table what is still in the outboxes.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use aws_lambda_events::event::streams::{DynamoDbBatchItemFailure, DynamoDbEventResponse};
use trackops_aws::StoreError;
use trackops_aws::aggregate::Table;
use trackops_aws::outbox::Unpublished;
use trackops_domain::Timestamp;
use trackops_lambda::error::chain;

use crate::publish::{Publisher, Relay};
use crate::stream::{Record, Stream};

/// Normally the stream delivers a record for the first time within this time. An older record may be a repetition.
const YOUNG: Duration = Duration::from_secs(2);

/// How many keys one look at the table reads.
const LOOK: usize = 100;

/// What this environment knows of repetitions. If a record comes again while it is young, this environment has just
/// started or has just reported a failure; any other environment gets it when it is old. So for a record that comes
/// once and in time, the table is not read.
pub struct Repetitions {
    /// When the environment started, or last reported a failure.
    trouble: AtomicI64,
}

impl Repetitions {
    pub fn begin() -> Self {
        Self { trouble: AtomicI64::new(Timestamp::now().millis()) }
    }

    fn failed(&self, now: Timestamp) {
        self.trouble.store(now.millis(), Ordering::Relaxed);
    }

    /// Whether these records may have been delivered before; `oldest` is when the oldest of them was written.
    fn may_be(&self, oldest: Timestamp, now: Timestamp) -> bool {
        let trouble = Timestamp::from_millis(self.trouble.load(Ordering::Relaxed));
        now.since(oldest) >= YOUNG || now.since(trouble) < YOUNG
    }
}

pub async fn handle(
    relay: &Relay<impl Publisher>,
    table: &Table,
    repetitions: &Repetitions,
    stream: Stream,
) -> DynamoDbEventResponse {
    let now = Timestamp::now();
    let mut batch = read(stream.records);
    let looks = batch.oldest.is_some_and(|oldest| repetitions.may_be(oldest, now));
    look(table, &mut batch, looks).await;
    let Batch { records, items, mut failed, .. } = batch;
    let outcomes = relay.publish(items).await;
    relay.settle(table, outcomes.iter().map(|outcome| (&outcome.item, outcome))).await;
    // If an event was refused before, its outbox holds more than one event, or the record was looked up.
    let waited = outcomes.iter().filter(|outcome| looks || outcome.item.outbox.len() > 1);
    // The sweeper tidies up, too.
    relay.tidy_up(waited).await;
    let left = records.into_iter().filter(|(_, item)| outcomes[*item].is_left());
    failed.extend(left.map(|(sequence_number, _)| sequence_number));
    if !failed.is_empty() {
        repetitions.failed(Timestamp::now());
    }
    let parked = outcomes.iter().filter(|outcome| outcome.is_parked()).count();
    tracing::info!(
        items = outcomes.len(),
        failed = failed.len(),
        refused = parked,
        looks,
        "relayed"
    );
    let mut response = DynamoDbEventResponse::default();
    response.batch_item_failures = failed
        .into_iter()
        .map(|sequence_number| {
            let mut failure = DynamoDbBatchItemFailure::default();
            failure.item_identifier = Some(sequence_number);
            failure
        })
        .collect();
    response
}

#[derive(Default)]
struct Batch {
    /// When the oldest record was written.
    oldest: Option<Timestamp>,
    /// The sequence number of every record, and the index of its item.
    records: Vec<(String, usize)>,
    /// The newest image of each item. An event that is only in older images was published meanwhile, or given up.
    items: Vec<Unpublished>,
    /// Keys of items whose images cannot be read; nothing is known of them yet.
    unread: HashSet<String>,
    /// Sequence numbers of records that have neither an image nor a key.
    failed: Vec<String>,
}

fn read(stream: Vec<Record>) -> Batch {
    let mut batch = Batch::default();
    let mut places = HashMap::<String, usize>::new();
    for Record { change } in stream {
        batch.oldest = batch.oldest.into_iter().chain([change.at()]).min();
        let item = match (change.image(), change.key()) {
            (Ok(item), _) => {
                batch.unread.remove(&item.pk);
                item
            }
            (Err(error), Some(key)) => {
                tracing::warn!(key, error = chain(&error), "this image is not understood");
                batch.unread.insert(key.clone());
                Unpublished::new(key, Vec::new())
            }
            (Err(error), None) => {
                let sequence_number = change.sequence_number;
                tracing::error!(sequence_number, error = chain(&error), "no outbox in this record");
                batch.failed.push(sequence_number);
                continue;
            }
        };
        let place = *places.entry(item.pk.clone()).or_insert(batch.items.len());
        if place < batch.items.len() {
            batch.items[place] = item;
        } else {
            batch.items.push(item);
        }
        batch.records.push((change.sequence_number, place));
    }
    batch
}

/// Replaces images by what the table has now: all images, or only those that could not be read, because the store can
/// read more than the stream's reader.
async fn look(table: &Table, batch: &mut Batch, at_all: bool) {
    let (items, unread) = (&batch.items, &batch.unread);
    let wanted = (0..items.len()).filter(|it| at_all || unread.contains(&items[*it].pk));
    let wanted: Vec<usize> = wanted.collect();
    for places in wanted.chunks(LOOK) {
        let keys = places.iter().map(|it| batch.items[*it].pk.clone()).collect();
        match table.outboxes(keys).await {
            Ok(found) => batch.replace(places, found),
            Err(error) => batch.fail(places, &error),
        }
    }
}

impl Batch {
    fn replace(&mut self, places: &[usize], found: Vec<Unpublished>) {
        let mut found: HashMap<_, _> =
            found.into_iter().map(|item| (item.pk.clone(), item)).collect();
        for place in places {
            let pk = self.items[*place].pk.clone();
            self.items[*place] =
                found.remove(&pk).unwrap_or_else(|| Unpublished::new(pk, Vec::new()));
        }
    }

    /// Then the images that could be read are trusted: it is better to publish twice than late.
    fn fail(&mut self, places: &[usize], error: &StoreError) {
        tracing::warn!(error = chain(error), items = places.len(), "not looked at");
        let is_lost =
            |place: &usize| places.contains(place) && self.unread.contains(&self.items[*place].pk);
        let lost = self.records.extract_if(.., |(_, place)| is_lost(place));
        self.failed.extend(lost.map(|(sequence_number, _)| sequence_number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn record(number: &str, pk: &str, events: &[&str]) -> Value {
        let entry = |id: &&str| {
            json!({"M": {
                "id": {"S": id}, "type": {"S": "order.created"},
                "time": {"S": "1970-01-01T00:00:00.000Z"}, "body": {"S": "{}"},
            }})
        };
        let outbox: Vec<Value> = events.iter().map(entry).collect();
        json!({
            "eventID": number, "eventName": "MODIFY", "awsRegion": "eu-central-1",
            "dynamodb": {
                "ApproximateCreationDateTime": 0, "SequenceNumber": number, "SizeBytes": 1,
                "Keys": {"pk": {"S": pk}},
                "NewImage": {"pk": {"S": pk}, "version": {"N": "1"}, "outbox": {"L": outbox}},
            },
        })
    }

    fn batch(records: Vec<Value>) -> Batch {
        let event = json!({"Records": records}).to_string();
        read(serde_json::from_str::<Stream>(&event).unwrap().records)
    }

    fn ids(item: &Unpublished) -> Vec<&str> {
        item.outbox.iter().map(|event| event.id.as_str()).collect()
    }

    #[test]
    fn of_a_batch_each_item_tells_what_its_newest_image_holds() {
        let batch = batch(vec![
            record("1", "A", &["a1"]),
            record("2", "B", &["b1"]),
            record("3", "A", &["a1", "a2"]),
            // The sweeper has published the first event, or an operator has given it up.
            record("4", "A", &["a2", "a3"]),
        ]);
        let items: Vec<_> = batch.items.iter().map(ids).collect();
        assert_eq!(items, [vec!["a2", "a3"], vec!["b1"]]);
        assert_eq!(batch.records.len(), 4);
    }

    #[test]
    fn a_record_that_makes_no_sense_comes_back_alone() {
        let mut odd = record("1", "A", &[]);
        odd["dynamodb"]["Keys"] = json!({});
        odd["dynamodb"]["NewImage"] = json!({});
        let batch = batch(vec![odd, record("2", "B", &["b1"])]);
        assert_eq!(batch.failed, ["1"]);
        assert_eq!(batch.items.len(), 1);
    }

    #[test]
    fn an_image_that_is_not_understood_is_looked_up_and_a_newer_one_takes_its_place() {
        let odd = |number| {
            let mut odd = record(number, "A", &[]);
            odd["dynamodb"]["NewImage"]["outbox"] = json!({"S": "not a list"});
            odd
        };
        let unread = batch(vec![record("1", "A", &["a1"]), odd("2")]);
        assert!(unread.unread.contains("A") && unread.failed.is_empty());
        assert_eq!(unread.items, [Unpublished::new("A".into(), Vec::new())]);
        assert!(batch(vec![odd("1"), record("2", "A", &["a1"])]).unread.is_empty());
    }

    #[test]
    fn only_a_batch_that_may_have_come_before_is_looked_up() {
        let at = |millis: i64| Timestamp::from_millis(1_000_000 + millis);
        let repetitions = Repetitions { trouble: AtomicI64::new(at(0).millis()) };
        assert!(repetitions.may_be(at(1000), at(1001)), "this environment has just begun");
        assert!(!repetitions.may_be(at(9000), at(9500)), "young, and nothing has failed");
        assert!(repetitions.may_be(at(7000), at(9500)), "it is old");
        repetitions.failed(at(9600));
        assert!(repetitions.may_be(at(9000), at(10_000)), "it may be what has failed");
        assert!(!repetitions.may_be(at(11_000), at(11_700)), "that is over");
    }
}
