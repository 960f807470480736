//! Does the work of MSK's event source mappings, which local clouds do not have. It reads each topic that a mapping of
//! the template names, and invokes the mapping's function with the event that AWS would make.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::Request;
use rskafka::BackoffConfig;
use rskafka::client::partition::{OffsetAt, PartitionClient, UnknownTopicHandling};
use rskafka::client::{Client, ClientBuilder};
use rskafka::record::RecordAndOffset;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::http::Http;
use crate::instance::Instance;

/// The mappings whose work has to be done. `up` writes them after every deployment.
pub const FILE: &str = "topics.json";

/// Records of an invocation, as in the template's mappings.
const BATCH: usize = 10;

/// The pause between tries of a batch that failed.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

const LOOKS_EVERY: Duration = Duration::from_millis(300);

/// A function and a topic that feeds it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mapping {
    pub function: String,
    pub topic: String,
}

/// Serves until it is dropped.
///
/// Records that were in the topics before are not read: they are of another instance on the same broker, and this
/// instance's tables are new.
pub async fn serve(
    instance: Instance,
    endpoint: String,
    brokers: String,
) -> Result<std::convert::Infallible> {
    let client = connect(&brokers).await?;
    let mut ends = HashMap::new();
    for (topic, partitions) in topics(&client).await? {
        for partition in partitions {
            let lane = client.partition_client(&topic, partition, UnknownTopicHandling::Error);
            let end = lane.await?.get_offset(OffsetAt::Latest).await?;
            ends.insert((topic.clone(), partition), end);
        }
    }
    let mut served = BTreeSet::new();
    let mut lanes = JoinSet::new();
    loop {
        let mappings: Vec<Mapping> = instance.read(FILE)?.unwrap_or_default();
        if !mappings.is_empty() {
            let there = topics(&client).await.unwrap_or_default();
            for mapping in mappings {
                for &partition in there.get(&mapping.topic).into_iter().flatten() {
                    if !served.insert((mapping.clone(), partition)) {
                        continue;
                    }
                    let from = ends.get(&(mapping.topic.clone(), partition)).copied();
                    lanes.spawn(
                        Lane {
                            url: invocations(&endpoint, &mapping.function),
                            http: Http::new(),
                            brokers: brokers.clone(),
                            topic: mapping.topic.clone(),
                            partition,
                            next: from.unwrap_or_default(),
                        }
                        .serve(),
                    );
                }
            }
        }
        tokio::time::sleep(LOOKS_EVERY).await;
    }
}

async fn connect(brokers: &str) -> Result<Client> {
    let brokers = brokers.split(',').map(str::to_owned).collect();
    let deadline = Some(Duration::from_secs(60));
    let backoff = BackoffConfig { deadline, ..BackoffConfig::default() };
    let builder = ClientBuilder::new(brokers).client_id("trackops-local").backoff_config(backoff);
    builder.build().await.context("no Kafka answers at these brokers")
}

async fn topics(client: &Client) -> Result<HashMap<String, BTreeSet<i32>>> {
    let topics = client.list_topics().await?.into_iter();
    Ok(topics.map(|topic| (topic.name, topic.partitions)).collect())
}

fn invocations(endpoint: &str, function: &str) -> String {
    format!("{endpoint}/2015-03-31/functions/{function}/invocations")
}

/// A partition of a topic, for one function.
struct Lane {
    url: String,
    http: Http,
    brokers: String,
    topic: String,
    partition: i32,
    /// All records before this offset are done: it moves on only when the function has answered.
    next: i64,
}

impl Lane {
    async fn serve(mut self) {
        let mut pause = FIRST_PAUSE;
        loop {
            if let Err(error) = self.read(&mut pause).await {
                crate::note!("{} {}: {error:#}", self.topic, self.partition);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Goes on until something fails.
    async fn read(&mut self, pause: &mut Duration) -> Result<()> {
        let client = connect(&self.brokers).await?;
        let handling = UnknownTopicHandling::Error;
        let lane = client.partition_client(&self.topic, self.partition, handling).await?;
        loop {
            let records = self.fetch(&lane).await?;
            let Some(last) = records.last().map(|record| record.offset) else { continue };
            self.invoke(&records).await?;
            self.next = last + 1;
            *pause = FIRST_PAUSE;
        }
    }

    async fn fetch(&self, lane: &PartitionClient) -> Result<Vec<RecordAndOffset>> {
        let (mut records, _) = lane.fetch_records(self.next, 1..1_000_000, 500).await?;
        records.truncate(BATCH);
        Ok(records)
    }

    async fn invoke(&self, records: &[RecordAndOffset]) -> Result<()> {
        let event = event(&self.topic, self.partition, records, &self.brokers);
        let answer = self.http.send(Request::post(&self.url), serde_json::to_vec(&event)?).await?;
        if !answer.status.is_success() || answer.header("x-amz-function-error").is_some() {
            bail!("{} failed: {} {}", self.url, answer.status, answer.text());
        }
        Ok(())
    }
}

/// Source: "Using Lambda with Amazon MSK", "Example event", Lambda Developer Guide.
fn event(topic: &str, partition: i32, records: &[RecordAndOffset], brokers: &str) -> Value {
    let encoded = |bytes: &Option<Vec<u8>>| bytes.as_ref().map(|bytes| STANDARD.encode(bytes));
    let record = |record: &RecordAndOffset| {
        let RecordAndOffset { record, offset } = record;
        let headers = record.headers.iter().map(|(name, value)| json!({name: value}));
        json!({
            "topic": topic, "partition": partition, "offset": offset,
            "timestamp": record.timestamp.timestamp_millis(), "timestampType": "CREATE_TIME",
            "key": encoded(&record.key), "value": encoded(&record.value),
            "headers": headers.collect::<Vec<_>>(),
        })
    };
    let records: Vec<Value> = records.iter().map(record).collect();
    json!({
        "eventSource": "aws:kafka", "bootstrapServers": brokers,
        "records": {format!("{topic}-{partition}"): records},
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rskafka::chrono::DateTime;
    use rskafka::record::Record;

    #[test]
    fn a_function_gets_records_as_msk_delivers_them() {
        let record = Record {
            key: Some(b"1".to_vec()),
            value: Some(b"{}".to_vec()),
            headers: [("h".to_owned(), vec![104, 105])].into(),
            timestamp: DateTime::from_timestamp_millis(7).unwrap(),
        };
        let records = [RecordAndOffset { record, offset: 5 }];
        let expected = json!({
            "eventSource": "aws:kafka", "bootstrapServers": "b:1",
            "records": {"order.created-2": [{
                "topic": "order.created", "partition": 2, "offset": 5,
                "timestamp": 7, "timestampType": "CREATE_TIME",
                "key": "MQ==", "value": "e30=", "headers": [{"h": [104, 105]}],
            }]},
        });
        assert_eq!(event("order.created", 2, &records, "b:1"), expected);
    }
}
