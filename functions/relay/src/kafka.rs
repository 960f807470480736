//! The event bus on Kafka: a topic for each type, keyed by the aggregate's id, and every acknowledgement awaited.

mod msk_iam;
pub mod partitioner;
mod settings;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::{join_all, try_join_all};
use rskafka::BackoffConfig;
use rskafka::chrono::DateTime;
use rskafka::client::controller::ControllerClient;
use rskafka::client::error::{Error as ClientError, ProtocolError};
use rskafka::client::partition::{Compression, PartitionClient, UnknownTopicHandling};
use rskafka::client::{Client, ClientBuilder};
use rskafka::record::Record;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};
use trackops_aws::bus::{Refusal, chunks};
use trackops_aws::outbox::{Kind, OutboxEntry};
use trackops_domain::Timestamp;
use trackops_domain::event::EventType;

use crate::publish::Publisher;
pub use settings::{Settings, brokers};

/// Partitions of a topic that we create. Never change this: a key would move to another partition, and its order would
/// be lost.
const PARTITIONS: i32 = 3;

/// A call to publish gives up after this, connecting included: the relays' timeout is 30 seconds, and the
/// sweeper begins its last page 10 seconds before its own.
const PATIENCE: Duration = Duration::from_secs(8);

/// Within that time, one request is tried again for this long.
const RETRIES: BackoffConfig = BackoffConfig {
    init_backoff: Duration::from_millis(50),
    max_backoff: Duration::from_secs(1),
    base: 2.0,
    deadline: Some(Duration::from_secs(5)),
};

/// Records of a request, and bytes of these records together: well below a broker's limit of 1 MB for a whole request.
/// Source: `message.max.bytes`, "Broker Configs", Apache Kafka's documentation.
const MAX_RECORDS: usize = 100;
const MAX_BYTES: usize = 512 * 1024;

/// The structured mode of "Kafka Protocol Binding for CloudEvents", version 1.0.2.
const CONTENT_TYPE: (&str, &[u8]) = ("content-type", b"application/cloudevents+json");

#[derive(Debug, thiserror::Error)]
pub enum KafkaError {
    #[error("the brokers cannot be used")]
    Client(#[from] ClientError),
    #[error("the brokers did not answer within {} s", PATIENCE.as_secs())]
    Silent,
}

pub struct Kafka {
    settings: Settings,
    topics: Vec<EventType>,
    /// `None` before the first use, and after a call failed: a connection may be dead without any sign, above all after
    /// Lambda froze the function.
    connection: Mutex<Option<Arc<Connection>>>,
}

struct Connection {
    client: Client,
    /// By name: the topics of this publisher, and all other topics that exist.
    topics: HashMap<String, Vec<Lane>>,
}

/// A partition. The lock allows only one request at a time.
struct Lane {
    topic: String,
    partition: i32,
    client: Mutex<Option<PartitionClient>>,
}

impl Kafka {
    /// For events of these types.
    pub const fn new(settings: Settings, topics: Vec<EventType>) -> Self {
        Self { settings, topics, connection: Mutex::const_new(None) }
    }

    /// Connects, and creates the topics that are missing.
    pub async fn connect(&self) -> Result<(), KafkaError> {
        self.connection(Instant::now() + PATIENCE).await.map(drop)
    }

    /// Connects to the leader of every partition too, so that no event waits for it.
    pub async fn warm_up(&self) -> Result<(), KafkaError> {
        let deadline = Instant::now() + PATIENCE;
        let connection = self.connection(deadline).await?;
        let ours = |(name, _): &(&String, _)| self.topics.iter().any(|kind| kind.name() == *name);
        let lanes = connection.topics.iter().filter(ours).flat_map(|(_, lanes)| lanes);
        let lanes = lanes.map(|lane| async {
            let client = lane.connect(&connection.client).await?;
            *lane.client.lock().await = Some(client);
            Ok::<_, KafkaError>(())
        });
        timeout_at(deadline, try_join_all(lanes)).await.map_err(|_| KafkaError::Silent)??;
        Ok(())
    }

    async fn connection(&self, deadline: Instant) -> Result<Arc<Connection>, KafkaError> {
        let mut current = self.connection.lock().await;
        if let Some(connection) = &*current {
            return Ok(Arc::clone(connection));
        }
        let open = Connection::open(&self.settings, &self.topics);
        let new = Arc::new(timeout_at(deadline, open).await.map_err(|_| KafkaError::Silent)??);
        *current = Some(Arc::clone(&new));
        Ok(new)
    }

    /// The next call connects anew.
    async fn forget(&self, useless: &Arc<Connection>) {
        let mut current = self.connection.lock().await;
        current.take_if(|connection| Arc::ptr_eq(connection, useless));
    }
}

impl Publisher for Kafka {
    fn kind(&self) -> &'static str {
        "kafka"
    }

    async fn publish(&self, events: &[&OutboxEntry]) -> Vec<Result<(), Refusal>> {
        let deadline = Instant::now() + PATIENCE;
        let connection = match self.connection(deadline).await {
            Ok(connection) => connection,
            Err(error) => return vec![Err(refusal(&error)); events.len()],
        };
        let mut results = vec![Ok(()); events.len()];
        let mut lanes = BTreeMap::<_, Vec<usize>>::new();
        for (index, event) in events.iter().enumerate() {
            match connection.lane(event) {
                Ok((partition, lane)) => {
                    lanes.entry((&*lane.topic, partition)).or_default().push(index);
                }
                Err(refused) => results[index] = Err(refused),
            }
        }
        let sends = lanes.into_values().map(|indexes| {
            let events: Vec<&OutboxEntry> = indexes.iter().map(|index| events[*index]).collect();
            let connection = &connection;
            async move { (connection.send(&events, deadline).await, indexes) }
        });
        for (outcomes, indexes) in join_all(sends).await {
            for (outcome, index) in outcomes.into_iter().zip(indexes) {
                results[index] = outcome;
            }
        }
        if results.iter().any(|result| matches!(result, Err(Refusal::ForNow { .. }))) {
            self.forget(&connection).await;
        }
        results
    }
}

impl Connection {
    async fn open(settings: &Settings, topics: &[EventType]) -> Result<Self, KafkaError> {
        let builder = ClientBuilder::new(settings.brokers.clone())
            .client_id("trackops-relay")
            .backoff_config(RETRIES);
        let builder = match &settings.tls {
            Some(tls) => builder.tls_config(Arc::clone(tls)),
            None => builder,
        };
        let builder = match &settings.sasl {
            Some(sasl) => builder.sasl_config(sasl.clone()),
            None => builder,
        };
        let client = builder.build().await?;
        let there = create(&client, topics, settings.replication_factor).await?;
        let lanes = there.into_iter().map(|(name, partitions)| {
            let lane =
                |partition| Lane { topic: name.clone(), partition, client: Mutex::new(None) };
            let lanes = (0..).take(partitions).map(lane).collect();
            (name, lanes)
        });
        let topics = lanes.collect();
        Ok(Self { client, topics })
    }

    /// The partition that the event belongs to.
    fn lane(&self, event: &OutboxEntry) -> Result<(usize, &Lane), Refusal> {
        let key = key(event)?;
        let lanes = self.topics.get(event.kind.name()).map(Vec::as_slice).unwrap_or_default();
        if lanes.is_empty() {
            let message = format!("there is no topic {}", event.kind.name());
            // A version that knows the type creates its topic; trying again at once does not help.
            return Err(match event.kind {
                Kind::Known(_) => Refusal::for_now("NoTopic", message),
                Kind::Unknown(_) => Refusal::for_good("NoTopic", message),
            });
        }
        let partition = partitioner::partition(key.as_bytes(), lanes.len());
        Ok((partition, &lanes[partition]))
    }

    /// Sends all records of one lane, in order. A record that the brokers refuse for good does not affect the others.
    async fn send(&self, events: &[&OutboxEntry], deadline: Instant) -> Vec<Result<(), Refusal>> {
        let mut outcomes = Vec::with_capacity(events.len());
        for chunk in chunks(events, MAX_RECORDS, MAX_BYTES, |event| event.body.len()) {
            match self.produce(chunk, deadline).await {
                Err(Refusal::ForGood { .. }) if chunk.len() > 1 => {
                    for event in chunk {
                        outcomes.push(self.produce(&[event], deadline).await);
                    }
                }
                outcome => outcomes.extend(vec![outcome; chunk.len()]),
            }
        }
        outcomes
    }

    /// One request, and its acknowledgement by all replicas in sync: the client knows no other `acks`.
    async fn produce(&self, events: &[&OutboxEntry], deadline: Instant) -> Result<(), Refusal> {
        let Some(first) = events.first() else { return Ok(()) };
        let (_, lane) = self.lane(first)?;
        let records = events.iter().map(|event| record(event)).collect::<Result<_, _>>()?;
        let request = async {
            let mut client = lane.client.lock().await;
            let client = match &mut *client {
                Some(client) => client,
                none => none.insert(lane.connect(&self.client).await?),
            };
            client.produce(records, Compression::Snappy).await?;
            Ok::<_, KafkaError>(())
        };
        let done = timeout_at(deadline, request).await.map_err(|_| KafkaError::Silent);
        done.flatten().map_err(|error| refusal(&error))
    }
}

impl Lane {
    async fn connect(&self, client: &Client) -> Result<PartitionClient, KafkaError> {
        // Not every broker knows a topic that was created a moment ago.
        let patient = UnknownTopicHandling::Retry;
        Ok(client.partition_client(&*self.topic, self.partition, patient).await?)
    }
}

/// The partitions of all topics. Creates the given topics if they are missing.
async fn create(
    client: &Client,
    topics: &[EventType],
    replication_factor: i16,
) -> Result<HashMap<String, usize>, ClientError> {
    let controller = client.controller_client()?;
    let mut created = HashSet::new();
    loop {
        let listed = client.list_topics().await?.into_iter();
        let listed: HashMap<String, usize> =
            listed.map(|topic| (topic.name, topic.partitions.len())).collect();
        let missing = topics.iter().filter(|kind| !listed.contains_key(kind.name()));
        let missing: Vec<_> = missing.collect();
        if missing.is_empty() {
            return Ok(listed);
        }
        for kind in missing {
            if created.insert(*kind) {
                create_topic(&controller, kind.name(), replication_factor).await?;
            }
        }
        // Not every broker shows a new topic at once.
        tokio::time::sleep(RETRIES.init_backoff).await;
    }
}

async fn create_topic(
    controller: &ControllerClient,
    name: &str,
    replication_factor: i16,
) -> Result<(), ClientError> {
    let wait = i32::try_from(PATIENCE.as_millis()).unwrap_or(i32::MAX);
    match controller.create_topic(name, PARTITIONS, replication_factor, wait).await {
        Err(ClientError::ServerError {
            protocol_error: ProtocolError::TopicAlreadyExists, ..
        }) => Ok(()),
        created => created.inspect(|()| tracing::info!(topic = name, "created")),
    }
}

fn key(event: &OutboxEntry) -> Result<&str, Refusal> {
    event
        .aggregate_id()
        .ok_or_else(|| Refusal::for_good("MalformedId", format!("{} names no aggregate", event.id)))
}

fn record(event: &OutboxEntry) -> Result<Record, Refusal> {
    Ok(Record {
        key: Some(key(event)?.into()),
        value: Some(event.body.clone().into_bytes()),
        headers: BTreeMap::from([(CONTENT_TYPE.0.to_owned(), CONTENT_TYPE.1.to_vec())]),
        // The time of publishing. The brokers use it to decide when a record is old enough to be deleted, and an event
        // that the sweeper publishes days late must stay as long as others.
        timestamp: DateTime::from_timestamp_millis(Timestamp::now().millis()).unwrap_or_default(),
    })
}

/// Errors about the record itself. Every other error may be gone at the next try. Source: "Error codes", Apache Kafka's
/// protocol guide.
const fn is_of_the_event(error: ProtocolError) -> bool {
    matches!(
        error,
        ProtocolError::MessageTooLarge
            | ProtocolError::RecordListTooLarge
            | ProtocolError::InvalidRecord
            | ProtocolError::InvalidTimestamp
    )
}

fn refusal(error: &KafkaError) -> Refusal {
    let message = trackops_lambda::error::chain(error);
    match error {
        KafkaError::Client(ClientError::ServerError { protocol_error, .. }) => {
            let code = protocol_error.to_string();
            if is_of_the_event(*protocol_error) {
                Refusal::for_good(code, message)
            } else {
                Refusal::for_now(code, message)
            }
        }
        KafkaError::Client(_) => Refusal::for_now("NotConnected", message),
        KafkaError::Silent => Refusal::for_now("Silent", message),
    }
}
