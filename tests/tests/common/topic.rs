//! The records of a topic, read with librdkafka.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::OwnedMessage;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

/// How long the broker may be silent.
const PATIENCE: Duration = Duration::from_secs(180);

/// All records of a topic with three partitions, one partition after the other.
pub fn records(brokers: &str, name: &str) -> Vec<OwnedMessage> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "tests")
        .set("enable.auto.commit", "false")
        .create()
        .expect("the broker answers");
    let mut records = Vec::new();
    for partition in 0..3 {
        let (low, high) =
            consumer.fetch_watermarks(name, partition, PATIENCE).expect("the broker answers");
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(name, partition, Offset::Offset(low))
            .expect("the broker answers");
        consumer.assign(&list).expect("the broker answers");
        let mut deadline = Instant::now() + PATIENCE;
        let mut next = low;
        while next < high {
            assert!(Instant::now() < deadline, "waited for record {next} of {name} {partition}");
            if let Some(message) = consumer.poll(Duration::from_millis(100)) {
                let message = message.expect("the broker answers").detach();
                next = rdkafka::Message::offset(&message) + 1;
                deadline = Instant::now() + PATIENCE;
                records.push(message);
            }
        }
    }
    records
}
