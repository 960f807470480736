//! The buses, how each fails, and the events that a consumer has got from them.

use std::path::Path;

use rdkafka::ClientConfig;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::message::{Message, OwnedMessage};
use serde_json::Value;
use trackops_local::kafka::{Broker, packages_for_tests};
use trackops_testkit::{EventTap, Fault, FaultGuard, World, unique};

use crate::arrivals::Arrival;
use crate::histories::Histories;
use crate::topic::records;

pub trait Bus {
    fn name(&self) -> &'static str;
    /// The environment variables that tell a relay which bus to use.
    fn environment(&self) -> Vec<(&'static str, String)>;
    async fn refuse_some(&mut self, histories: &Histories);
    async fn refuse_none(&mut self);
    async fn go_down(&mut self);
    async fn come_back(&mut self);
    /// All events that a consumer has got, in the order of arrival.
    async fn arrived(&mut self) -> Vec<Arrival>;
}

/// A new bus, and a queue with all events that it carries.
pub struct EventBridge<'a> {
    world: &'a World,
    bus: String,
    tap: EventTap<'a>,
    fault: Option<FaultGuard>,
}

impl<'a> EventBridge<'a> {
    pub async fn create(world: &'a World) -> Self {
        let bus = unique("delivery");
        world.bus.create_event_bus().name(&bus).send().await.expect("an event bus");
        let tap = world.tap(&bus).await;
        Self { world, bus, tap, fault: None }
    }

    pub async fn close(self) {
        self.tap.close().await;
    }
}

impl Bus for EventBridge<'_> {
    fn name(&self) -> &'static str {
        "EventBridge"
    }

    fn environment(&self) -> Vec<(&'static str, String)> {
        vec![("EVENT_BUS", self.bus.clone())]
    }

    /// Refuses single entries of calls that succeed.
    async fn refuse_some(&mut self, histories: &Histories) {
        let fault = Fault::of_the_bus(&histories.unlucky).until_lifted();
        self.fault = Some(self.world.inject(fault).await);
    }

    async fn refuse_none(&mut self) {
        self.fault = None;
    }

    async fn go_down(&mut self) {
        let fault = Fault::of_put_events(&self.bus).until_lifted();
        self.fault = Some(self.world.inject(fault).await);
    }

    async fn come_back(&mut self) {
        self.fault = None;
    }

    async fn arrived(&mut self) -> Vec<Arrival> {
        let seen = self.tap.all().await.iter();
        let arrival = |order: &str, sequence| Arrival { order: order.to_owned(), sequence };
        seen.map(|event| arrival(&event.subject, event.sequence)).collect()
    }
}

/// The topics of orders, in the order of their types.
const TOPICS: [&str; 2] = ["order.created", "order.status.updated"];

/// Bytes: less than an event of [`Histories::unlucky`] has.
const LESS_THAN_UNLUCKY: &str = "3000";

/// A new real Apache Kafka, which notes when a record came.
pub struct Kafka {
    broker: Broker,
    admin: AdminClient<DefaultClientContext>,
}

impl Kafka {
    /// `None` where Kafka cannot run; a message says so.
    pub async fn start(name: &str) -> Option<Self> {
        let packages = packages_for_tests().await?;
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let broker = Broker::start(&packages, folder).await.expect("a broker");
        let admin: AdminClient<_> = ClientConfig::new()
            .set("bootstrap.servers", &broker.bootstrap)
            .create()
            .expect("a client");
        let topic = |name| {
            let topic = NewTopic::new(name, 3, TopicReplication::Fixed(1));
            topic.set("message.timestamp.type", "LogAppendTime")
        };
        let created = admin.create_topics(&TOPICS.map(topic), &AdminOptions::new()).await;
        for topic in created.expect("the broker answers") {
            topic.expect("a topic");
        }
        Some(Self { broker, admin })
    }

    pub async fn close(self) {
        self.broker.stop().await;
    }

    /// The largest allowed size in bytes of the changes of an order; `None`: the default size.
    async fn limit(&self, bytes: Option<&str>) {
        let config = AlterConfig::new(ResourceSpecifier::Topic(TOPICS[1]));
        let mut config = config.set("message.timestamp.type", "LogAppendTime");
        if let Some(bytes) = bytes {
            config = config.set("max.message.bytes", bytes);
        }
        let altered = self.admin.alter_configs([&config], &AdminOptions::new()).await;
        for topic in altered.expect("the broker answers") {
            topic.expect("the topic takes its configuration");
        }
    }
}

impl Bus for Kafka {
    fn name(&self) -> &'static str {
        "Kafka"
    }

    fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("KAFKA_BOOTSTRAP_SERVERS", self.broker.bootstrap.clone()),
            ("KAFKA_SECURITY", "plaintext".to_owned()),
            ("KAFKA_REPLICATION_FACTOR", "1".to_owned()),
        ]
    }

    /// Refuses events for good: they are parked until the topic takes events of this size and somebody tries again.
    async fn refuse_some(&mut self, _: &Histories) {
        self.limit(Some(LESS_THAN_UNLUCKY)).await;
    }

    async fn refuse_none(&mut self) {
        self.limit(None).await;
    }

    async fn go_down(&mut self) {
        self.broker.kill().await;
    }

    async fn come_back(&mut self) {
        self.broker.start_again().await.expect("the broker comes back with what it had");
    }

    async fn arrived(&mut self) -> Vec<Arrival> {
        let topics = TOPICS.map(|topic| records(&self.broker.bootstrap, topic));
        let mut records: Vec<OwnedMessage> = topics.into_iter().flatten().collect();
        // Stable: within a partition the records are in its order already.
        records.sort_by_key(|record| record.timestamp().to_millis());
        records.iter().map(arrival).collect()
    }
}

fn arrival(record: &OwnedMessage) -> Arrival {
    let event: Value = serde_json::from_slice(record.payload().unwrap_or_default()).expect("JSON");
    let order = event["subject"].as_str().expect("a subject").to_owned();
    Arrival { order, sequence: event["sequence"].as_u64().expect("a sequence") }
}
