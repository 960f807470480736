//! The publisher against brokers that are not ours: librdkafka's mock cluster, which refuses on command, and a real
//! Apache Kafka, if Java is installed. librdkafka reads their records.

#[path = "common/topic.rs"]
mod topic;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::message::{Headers, Message, OwnedMessage};
use rdkafka::mocking::MockCluster;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use trackops_aws::bus::Refusal;
use trackops_aws::outbox::{OutboxEntry, Unpublished};
use trackops_domain::Timestamp;
use trackops_domain::event::EventType;
use trackops_local::kafka::{Broker, packages_for_tests};
use trackops_relay::kafka::partitioner::partition;
use trackops_relay::kafka::{Kafka, Settings};
use trackops_relay::publish::{Publisher, publish};

use topic::records;

/// How long to wait for a broker that was started again. On a quiet machine it is soon ready.
const PATIENCE: Duration = Duration::from_secs(600);

const TYPES: [EventType; 2] = [EventType::OrderCreated, EventType::OrderStatusUpdated];

fn publisher(brokers: &str) -> Kafka {
    Kafka::new(Settings::plaintext(vec![brokers.to_owned()], 1), TYPES.to_vec())
}

fn mock() -> MockCluster<'static, rdkafka::producer::DefaultProducerContext> {
    let cluster = MockCluster::new(1).expect("a mock cluster");
    for kind in TYPES {
        cluster.create_topic(kind.name(), 3, 1).expect("a topic");
    }
    cluster
}

/// An event of an order; the first is its creation.
fn event(order: &str, version: u64) -> OutboxEntry {
    let kind = TYPES[usize::from(version > 1)].into();
    let id = format!("ORDER#{order}#{version}");
    let body = format!(r#"{{"id": "{id}"}}"#);
    OutboxEntry { id, kind, time: Timestamp::from_millis(0), traceparent: None, body }
}

/// An event with text that compression does not make much smaller.
fn large(order: &str, bytes: usize) -> OutboxEntry {
    let mut state = 88_172_645_463_325_252_u64;
    let letters = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'0' + u8::try_from(state % 74).expect("below 74"))
    });
    OutboxEntry { body: letters.take(bytes).collect(), ..event(order, 1) }
}

/// Orders whose events share a partition.
fn neighbours(count: usize) -> Vec<String> {
    let names = (0..).map(|number| format!("order-{number}"));
    names.filter(|name| partition(name.as_bytes(), 3) == 0).take(count).collect()
}

/// A record as librdkafka reads it.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    partition: i32,
    key: String,
    value: String,
    content_type: String,
}

impl Seen {
    fn of(message: &OwnedMessage) -> Self {
        let text = |bytes: Option<&[u8]>| {
            String::from_utf8(bytes.expect("it is there").to_vec()).expect("text")
        };
        let header = message.headers().expect("headers").get(0);
        assert_eq!(header.key, "content-type");
        Self {
            partition: message.partition(),
            key: text(message.key()),
            value: text(message.payload()),
            content_type: text(header.value),
        }
    }

    fn id(&self) -> String {
        self.value.split('"').nth(3).unwrap_or_default().to_owned()
    }
}

/// Everything that a topic holds, partition by partition.
fn seen(brokers: &str, name: &str) -> Vec<Seen> {
    records(brokers, name).iter().map(Seen::of).collect()
}

fn is_for_good(result: &Result<(), Refusal>) -> bool {
    matches!(result, Err(Refusal::ForGood { .. }))
}

fn is_for_now(result: &Result<(), Refusal>) -> bool {
    matches!(result, Err(Refusal::ForNow { .. }))
}

#[tokio::test]
async fn an_event_is_on_the_topic_of_its_type_in_the_partition_of_its_aggregate() {
    let cluster = mock();
    let brokers = cluster.bootstrap_servers();
    let kafka = publisher(&brokers);
    kafka.warm_up().await.unwrap();
    let events = [event("a", 1), event("b", 1), event("c", 1), event("d", 2)];
    let results = kafka.publish(&events.iter().collect::<Vec<_>>()).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");

    let created = seen(&brokers, "order.created");
    assert_eq!(created.len(), 3);
    assert_eq!(seen(&brokers, "order.status.updated").len(), 1);
    for order in ["a", "b", "c"] {
        let expected = Seen {
            partition: i32::try_from(partition(order.as_bytes(), 3)).unwrap(),
            key: order.to_owned(),
            value: event(order, 1).body,
            content_type: "application/cloudevents+json".to_owned(),
        };
        assert!(created.contains(&expected), "{expected:?} is not in {created:?}");
    }
}

#[tokio::test]
async fn what_the_brokers_do_not_acknowledge_is_not_published() {
    let cluster = mock();
    let kafka = publisher(&cluster.bootstrap_servers());
    for error in [
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
    ] {
        cluster.request_errors(RDKafkaApiKey::Produce, &[error]);
        let results = kafka.publish(&[&event("a", 1)]).await;
        assert!(is_for_now(&results[0]), "{error:?}: {results:?}");
        assert_eq!(kafka.publish(&[&event("a", 1)]).await, [Ok(())], "after {error:?}");
    }
}

#[tokio::test]
async fn an_event_that_is_refused_for_good_takes_no_neighbour_with_it() {
    let cluster = mock();
    let kafka = publisher(&cluster.bootstrap_servers());
    let orders = neighbours(3);
    let events: Vec<_> = orders.iter().map(|order| event(order, 1)).collect();
    let large = RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
    let fine = RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR;
    // All three, then each alone: the second is the large one.
    cluster.request_errors(RDKafkaApiKey::Produce, &[large, fine, large, fine]);
    let results = kafka.publish(&events.iter().collect::<Vec<_>>()).await;
    assert!(results[0].is_ok() && is_for_good(&results[1]) && results[2].is_ok(), "{results:?}");
}

#[tokio::test]
async fn brokers_that_are_gone_refuse_for_now_and_take_it_when_they_are_back() {
    let cluster = mock();
    let kafka = publisher(&cluster.bootstrap_servers());
    assert_eq!(kafka.publish(&[&event("a", 1)]).await, [Ok(())]);
    cluster.broker_down(1).unwrap();
    // The call gives up by itself.
    let results = kafka.publish(&[&event("a", 2)]).await;
    assert!(is_for_now(&results[0]), "{results:?}");
    cluster.broker_up(1).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while kafka.publish(&[&event("a", 2)]).await[0].is_err() {
        assert!(Instant::now() < deadline, "waited for the broker to take events again");
    }
}

#[tokio::test]
async fn a_real_kafka_refuses_what_is_too_large_and_takes_its_neighbours() {
    let Some(packages) = packages_for_tests().await else { return };
    let broker = Broker::start(&packages, folder("large")).await.unwrap();
    let kafka = publisher(&broker.bootstrap);
    let orders = neighbours(3);
    let events = [event(&orders[0], 1), large(&orders[1], 1_500_000), event(&orders[2], 1)];
    let results = kafka.publish(&events.iter().collect::<Vec<_>>()).await;
    assert!(results[0].is_ok() && is_for_good(&results[1]) && results[2].is_ok(), "{results:?}");
    assert_eq!(seen(&broker.bootstrap, "order.created").len(), 2);
    broker.stop().await;
}

#[tokio::test]
async fn nothing_is_lost_or_overtaken_when_a_real_kafka_is_killed_in_between() {
    const ORDERS: usize = 8;
    const VERSIONS: u64 = 6;
    let Some(packages) = packages_for_tests().await else { return };
    let mut broker = Broker::start(&packages, folder("killed")).await.unwrap();
    let brokers = broker.bootstrap.clone();
    let kafka = publisher(&brokers);
    let outbox =
        |order: usize| (1..=VERSIONS).map(move |version| event(&format!("o{order}"), version));
    let items: Vec<Unpublished> = (0..ORDERS)
        .map(|order| Unpublished {
            pk: format!("ORDER#o{order}"),
            outbox: outbox(order).collect(),
            unreadable: Vec::new(),
        })
        .collect();

    // The first call publishes a half; the repetitions publish everything.
    let half =
        |item: &Unpublished| Unpublished { outbox: item.outbox[..3].to_vec(), ..item.clone() };
    let halves: Vec<_> = items.iter().map(half).collect();
    assert_eq!(refused(&kafka, &halves).await, 0);
    broker.kill().await;
    assert_eq!(refused(&kafka, &items).await, ORDERS, "published without a broker");
    let repeated = async {
        let deadline = Instant::now() + PATIENCE;
        while refused(&kafka, &items).await > 0 {
            assert!(Instant::now() < deadline, "waited for the broker to take all events");
        }
    };
    let (started, ()) = tokio::join!(broker.start_again(), repeated);
    started.unwrap();

    let mut first = BTreeMap::<String, Vec<String>>::new();
    for name in TYPES.map(EventType::name) {
        for record in seen(&brokers, name) {
            let ids = first.entry(record.key.clone()).or_default();
            if !ids.contains(&record.id()) {
                ids.push(record.id());
            }
        }
    }
    for item in &items {
        let order = item.pk.trim_start_matches("ORDER#");
        let ids: Vec<String> = item.outbox.iter().map(|event| event.id.clone()).collect();
        assert_eq!(first[order], ids);
    }
    broker.stop().await;
}

/// The number of items of which an event was refused.
async fn refused(kafka: &Kafka, items: &[Unpublished]) -> usize {
    let outcomes = publish(kafka, items.to_vec()).await;
    outcomes.iter().filter(|outcome| outcome.stopped.is_some()).count()
}

fn folder(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}
