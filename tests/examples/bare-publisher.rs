//! The bare client of a bus, with which the benchmark compares the relay. It is a Lambda, so that it is invoked in the
//! same way. It keeps the events that it is given and publishes them on command, with as many calls at once as the
//! relay.

use std::collections::BTreeMap;
use std::sync::Mutex;

use aws_sdk_eventbridge::primitives::DateTime;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use futures::future::try_join_all;
use futures::{StreamExt, TryStreamExt, stream};
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use rskafka::chrono::Utc;
use rskafka::client::ClientBuilder;
use rskafka::client::partition::{Compression, PartitionClient, UnknownTopicHandling};
use rskafka::record::Record;
use serde::Deserialize;
use trackops_aws::bus::{CONCURRENT_CALLS, MAX_ENTRIES};
use trackops_aws::clients;
use trackops_aws::outbox::OutboxEntry;
use trackops_domain::event::EventType;
use trackops_relay::kafka::{brokers, partitioner};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum Task {
    Keep(Vec<Vec<OutboxEntry>>),
    /// How many batches.
    Publish(usize),
}

enum Bare {
    EventBridge(aws_sdk_eventbridge::Client, String),
    /// By partition.
    Kafka(Vec<PartitionClient>),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let (bare, kept) = (Bare::connect().await?, Mutex::default());
    let (bare, kept) = (&bare, &kept);
    run(service_fn(async |event: LambdaEvent<Task>| {
        match event.payload {
            Task::Keep(batches) => *kept.lock().expect("nobody panics holding it") = batches,
            Task::Publish(count) => {
                let batches = std::mem::take(&mut *kept.lock().expect("nobody panics holding it"));
                for batch in batches.iter().cycle().take(count) {
                    bare.publish(batch).await?;
                }
                *kept.lock().expect("nobody panics holding it") = batches;
            }
        }
        Ok::<_, Error>(())
    }))
    .await
}

impl Bare {
    async fn connect() -> Result<Self, Error> {
        let Some(brokers) = brokers() else {
            let client = aws_sdk_eventbridge::Client::new(&clients::config()?);
            return Ok(Self::EventBridge(client, std::env::var("EVENT_BUS")?));
        };
        let client = ClientBuilder::new(brokers).build().await?;
        let topic = EventType::OrderCreated.name();
        let partitions = (0..3).map(|partition| {
            client.partition_client(topic, partition, UnknownTopicHandling::Error)
        });
        Ok(Self::Kafka(try_join_all(partitions).await?))
    }

    async fn publish(&self, events: &[OutboxEntry]) -> Result<(), Error> {
        match self {
            Self::EventBridge(client, bus) => {
                let calls = events.chunks(MAX_ENTRIES).map(|events| async move {
                    let entries = events.iter().map(|event| entry(event, bus)).collect();
                    let answer = client.put_events().set_entries(Some(entries)).send().await?;
                    match answer.failed_entry_count {
                        0 => Ok(()),
                        failed => Err(Error::from(format!("{failed} entries failed"))),
                    }
                });
                stream::iter(calls).buffer_unordered(CONCURRENT_CALLS).try_collect().await
            }
            Self::Kafka(partitions) => {
                let mut records: Vec<Vec<Record>> = partitions.iter().map(|_| Vec::new()).collect();
                for event in events {
                    let key = event.aggregate_id().ok_or("an event without an aggregate")?;
                    let partition = partitioner::partition(key.as_bytes(), partitions.len());
                    records[partition].push(record(key, event));
                }
                let requests = partitions.iter().zip(records);
                let requests = requests
                    .map(|(partition, records)| partition.produce(records, Compression::Snappy));
                try_join_all(requests).await?;
                Ok(())
            }
        }
    }
}

fn entry(event: &OutboxEntry, bus: &str) -> PutEventsRequestEntry {
    PutEventsRequestEntry::builder()
        .event_bus_name(bus)
        .source(event.source().unwrap_or_default())
        .detail_type(event.kind.name())
        .time(DateTime::from_millis(event.time.millis()))
        .detail(&event.body)
        .build()
}

fn record(key: &str, event: &OutboxEntry) -> Record {
    let content_type = ("content-type".to_owned(), b"application/cloudevents+json".to_vec());
    Record {
        key: Some(key.into()),
        value: Some(event.body.clone().into_bytes()),
        headers: BTreeMap::from([content_type]),
        timestamp: Utc::now(),
    }
}
