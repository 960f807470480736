//! Consumes a table's stream and publishes what the items still have to tell. Only records that failed come back; one
//! whose event the bus takes at no time does not, and so keeps no other waiting.

use std::collections::HashMap;

use aws_lambda_events::event::streams::{DynamoDbBatchItemFailure, DynamoDbEventResponse};
use trackops_aws::aggregate::Table;
use trackops_aws::outbox::Unpublished;
use trackops_lambda::error::chain;

use crate::publish::{Publisher, Relay};
use crate::stream::{Record, Stream};

pub async fn handle(
    relay: &Relay<impl Publisher>,
    table: &Table,
    stream: Stream,
) -> DynamoDbEventResponse {
    let Batch { records, items, mut failed } = read(stream.records);
    let outcomes = relay.publish(items).await;
    relay.settle(table, outcomes.iter().map(|outcome| (&outcome.item, outcome))).await;
    // One that was refused before has its event behind it, or in front of it.
    let waited = outcomes.iter().filter(|outcome| outcome.item.outbox.len() > 1);
    if let Err(error) = relay.forget(waited).await {
        // The sweeper does, too.
        tracing::warn!(error = chain(&error), "published but still noted as refused");
    }
    let left = records.into_iter().filter(|(_, item)| outcomes[*item].is_left());
    failed.extend(left.map(|(sequence_number, _)| sequence_number));
    let parked = outcomes.iter().filter(|outcome| outcome.is_parked()).count();
    tracing::info!(items = outcomes.len(), failed = failed.len(), refused = parked, "relayed");
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
    /// Sequence number of every record, and which of the items it is of.
    records: Vec<(String, usize)>,
    /// The newest image of each item. What only older ones hold was published meanwhile, or given up.
    items: Vec<Unpublished>,
    /// Sequence numbers of records that cannot be read.
    failed: Vec<String>,
}

fn read(stream: Vec<Record>) -> Batch {
    let mut batch = Batch::default();
    let mut places = HashMap::<String, usize>::new();
    for Record { change } in stream {
        let item = match change.image() {
            Ok(item) => item,
            Err(error) => {
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
            // The sweeper was faster with the first, or an operator has given it up.
            record("4", "A", &["a2", "a3"]),
        ]);
        let items: Vec<_> = batch.items.iter().map(ids).collect();
        assert_eq!(items, [vec!["a2", "a3"], vec!["b1"]]);
        assert_eq!(batch.records.len(), 4);
    }

    #[test]
    fn a_record_that_makes_no_sense_comes_back_alone() {
        let mut odd = record("1", "A", &[]);
        odd["dynamodb"]["NewImage"]["outbox"] = json!({"S": "not a list"});
        let batch = batch(vec![odd, record("2", "B", &["b1"])]);
        assert_eq!(batch.failed, ["1"]);
        assert_eq!(batch.items.len(), 1);
    }
}
