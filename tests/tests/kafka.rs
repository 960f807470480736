//! The whole system with Kafka as the bus: a real Apache Kafka, and the same functions.

#[path = "common/topic.rs"]
mod topic;

use std::collections::BTreeMap;

use aws_sdk_sqs::types::QueueAttributeName;
use rdkafka::message::{Message, OwnedMessage};
use rskafka::client::partition::{Compression, UnknownTopicHandling};
use rskafka::client::{Client, ClientBuilder};
use rskafka::record::Record;
use serde_json::Value;
use trackops_local::kafka::packages_for_tests;
use trackops_testkit::{Basket, Fault, World, eventually};

use topic::records;

/// `None` where Kafka cannot run; then the test is skipped and says so.
async fn world() -> Option<World> {
    packages_for_tests().await?;
    Some(World::on_kafka().await)
}

async fn client(world: &World) -> Client {
    let brokers = world.system.kafka.clone().expect("Kafka is the bus");
    ClientBuilder::new(vec![brokers]).build().await.expect("the broker answers")
}

/// An event as it is in a topic.
#[derive(Debug)]
struct Event {
    topic: String,
    partition: i32,
    envelope: Value,
}

impl Event {
    fn of(record: OwnedMessage) -> Self {
        let envelope = serde_json::from_slice(record.payload().unwrap_or_default());
        let (topic, partition) = (record.topic().to_owned(), record.partition());
        Self { topic, partition, envelope: envelope.expect("an event is JSON") }
    }

    fn sequence(&self) -> u64 {
        self.envelope["sequence"].as_u64().expect("a sequence")
    }
}

#[tokio::test]
async fn an_order_is_confirmed_and_its_events_are_on_their_topics_in_order() {
    let Some(world) = world().await else { return };
    let tea = world.stock("TEA", 5).await;
    let order = world.customer.order(&Basket::of(&tea, 2)).await;
    let id = &order.order_id;
    world.until_status(id, &["CONFIRMED"]).await;
    world.books_balance(&tea, 5, &[id]).await;

    let brokers = world.system.kafka.as_deref().expect("Kafka is the bus");
    let expected =
        ["order.created", "order.status.updated", "inventory.reserved", "payment.processed"];
    let about = eventually("the order's events to be on their topics", async || {
        let records = expected.iter().flat_map(|topic| records(brokers, topic));
        let records = records.filter(|record| record.key() == Some(id.as_bytes()));
        let about: Vec<Event> = records.map(Event::of).collect();
        let there = |name: &&str| about.iter().any(|event| event.topic == **name);
        if expected.iter().all(there) { Ok(about) } else { Err(format!("{about:?}")) }
    })
    .await;

    let mut sequences = BTreeMap::<&str, Vec<u64>>::new();
    for event in &about {
        assert_eq!(event.topic, event.envelope["type"]);
        assert_eq!(event.envelope["subject"], **id);
        // The key decides alone: one order is in the same partition of every topic.
        assert_eq!(event.partition, about[0].partition, "{event:?}");
        // A repetition may come at any time.
        let sequences = sequences.entry(&event.topic).or_default();
        if !sequences.contains(&event.sequence()) {
            sequences.push(event.sequence());
        }
    }
    for (topic, sequences) in sequences {
        assert!(sequences.is_sorted(), "{topic} has {sequences:?}");
    }
}

#[tokio::test]
async fn an_order_that_is_cancelled_is_undone_and_one_whose_payment_answers_later_is_confirmed() {
    let Some(world) = world().await else { return };
    let tea = world.stock("TEA", 5).await;
    let cancelled = world.customer.order(&Basket::of(&tea, 2)).await;
    world.until_status(&cancelled.order_id, &["CONFIRMED"]).await;
    world.cancel(&cancelled.order_id).await;
    world.until_status(&cancelled.order_id, &["CANCELLED"]).await;
    let waiting = world.customer.order(&Basket::of(&tea, 1).paying_with("tok_pending_ok")).await;
    world.until_status(&waiting.order_id, &["CONFIRMED"]).await;
    let orders = [cancelled.order_id.as_str(), waiting.order_id.as_str()];
    assert_eq!(world.books_balance(&tea, 5, &orders).await.available(), 4);
    for (order, expected) in [
        (&cancelled, &["payment.refunded", "inventory.released"][..]),
        (&waiting, &["payment.processed"]),
    ] {
        world.until_noted(&world.customer, &order.order_id, expected).await;
    }
}

#[tokio::test]
async fn a_function_that_fails_gets_its_records_again() {
    let Some(world) = world().await else { return };
    let tea = world.stock("TEA", 5).await;
    let (basket, id) = world.customer.keyed(Basket::of(&tea, 1));
    let fault = world.inject(Fault::of_function("start-saga", &id).times(2)).await;
    world.customer.order(&basket).await;
    fault.struck(2).await;
    world.until_status(&id, &["CONFIRMED"]).await;
}

#[tokio::test]
async fn a_record_that_nobody_can_read_blocks_none_and_ends_as_a_dead_letter_with_its_payload() {
    const POISON: &[u8] = b"{ this is no event";
    let Some(world) = world().await else { return };
    // Five tries, a minute apart, are too long for a test.
    let queue = world.system.output("StartSagaQueueUrl");
    let often = world.queues.set_queue_attributes().queue_url(queue);
    let often = often.attributes(QueueAttributeName::VisibilityTimeout, "1");
    often.send().await.expect("the queue takes its attributes");

    let client = client(&world).await;
    let tea = world.stock("TEA", 5).await;
    let before = world.customer.order(&Basket::of(&tea, 1)).await;
    world.until_status(&before.order_id, &["CONFIRMED"]).await;
    let record = Record {
        key: Some(b"poison".to_vec()),
        value: Some(POISON.to_vec()),
        headers: BTreeMap::new(),
        timestamp: rskafka::chrono::DateTime::UNIX_EPOCH,
    };
    for partition in 0..3 {
        let handling = UnknownTopicHandling::Error;
        let lane = client.partition_client("order.created", partition, handling).await;
        let lane = lane.expect("the partition has a leader");
        let put = lane.produce(vec![record.clone()], Compression::NoCompression).await;
        put.expect("the broker takes it");
    }
    let after = world.customer.order(&Basket::of(&tea, 1)).await;
    world.until_status(&after.order_id, &["CONFIRMED"]).await;

    let letters = world.system.output("StartSagaDeadLetterQueueUrl");
    eventually("the record to be a dead letter", async || {
        let received = world.queues.receive_message().queue_url(letters).send().await;
        let received = received.expect("the queue can be read").messages.unwrap_or_default();
        let bodies = received.iter().filter_map(|message| message.body.as_deref());
        let found = bodies.into_iter().any(|body| {
            let body: Value = serde_json::from_str(body).expect("a dead letter is JSON");
            let payload = body["detail"].as_str().and_then(|text| decoded(text).ok());
            payload.as_deref() == Some(POISON) && body["kafka"]["topic"] == "order.created"
        });
        if found { Ok(()) } else { Err(format!("{} other letters", received.len())) }
    })
    .await;
}

fn decoded(text: &str) -> Result<Vec<u8>, base64::DecodeError> {
    base64::Engine::decode(&base64::engine::general_purpose::STANDARD, text)
}
