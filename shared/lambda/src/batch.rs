//! Consumers: every record is handled alone, and only records that failed are delivered again. Events come from a queue
//! that EventBridge fills, or from topics of Kafka; the handlers are the same.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, SystemTime};

use aws_lambda_events::event::sqs::{BatchItemFailure, SqsBatchResponse, SqsMessage};
use aws_lambda_events::kafka::KafkaRecord;
use aws_types::SdkConfig;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::FutureExt;
use futures::future::join_all;
use lambda_runtime::{Context, Error, LambdaEvent, service_fn};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::timeout;
use tracing::{Instrument, Span};
use trackops_aws::queue::Queue;
use trackops_domain::Event;

use crate::config::{ConfigError, env};
use crate::error::chain;
use crate::telemetry::journey;

pub type RecordError = Box<dyn StdError + Send + Sync>;

/// A record must be done this long before the invocation's time ends, so that there is time to report a failure.
const RESERVE: Duration = Duration::from_secs(2);

/// What an event source mapping delivers.
#[derive(Deserialize)]
#[serde(untagged)]
enum Batch {
    Queue {
        #[serde(rename = "Records")]
        records: Vec<SqsMessage>,
    },
    /// Records, by topic and partition.
    Topics { records: BTreeMap<String, Vec<KafkaRecord>> },
}

/// The message that EventBridge makes of an event. We put messages of the same form into a queue.
#[derive(Deserialize)]
struct Delivery {
    detail: Event,
}

/// Takes the records of a topic that a handler failed on, because a topic cannot deliver single records again.
trait TakesFailures: Sync {
    fn take(&self, message: String) -> impl Future<Output = Result<(), RecordError>> + Send;
}

impl TakesFailures for Option<Queue> {
    async fn take(&self, message: String) -> Result<(), RecordError> {
        let queue = self.as_ref().ok_or(ConfigError::new("RETRY_QUEUE_URL", "is missing"))?;
        Ok(queue.send(message).await?)
    }
}

/// Consumes our events. When an event from a queue fails, it comes back after the visibility timeout and, after
/// `maxReceiveCount` tries, goes to the dead-letter queue. When an event from a topic fails, it is sent to that same
/// queue (`RETRY_QUEUE_URL`) and is tried again from there, so its partition does not wait for it
/// (docs/decisions/0018).
pub async fn consume_events<H, F, E>(config: &SdkConfig, handler: H) -> Result<(), Error>
where
    H: Fn(Event) -> F + Sync,
    F: Future<Output = Result<(), E>> + Send,
    E: Into<RecordError>,
{
    let (handler, again) = (&handler, env("RETRY_QUEUE_URL").ok());
    let again = &again.map(|url| Queue::at(config, url));
    lambda_runtime::run(service_fn(|event: LambdaEvent<Batch>| async move {
        let time = time_for_records(&event.context);
        match event.payload {
            Batch::Queue { records } => {
                let handler = |delivery: Delivery| handler(delivery.detail);
                Ok(from_queue(&records, &handler, time).await)
            }
            Batch::Topics { records } => {
                let records: Vec<_> = records.into_values().flatten().collect();
                from_topics(&records, handler, time, again).await?;
                Ok::<_, Error>(SqsBatchResponse::default())
            }
        }
    }))
    .await
}

/// Consumes a queue of JSON messages, as [`consume_events`] does.
pub async fn consume<M, H, F, E>(handler: H) -> Result<(), Error>
where
    M: DeserializeOwned + Send,
    H: Fn(M) -> F + Sync,
    F: Future<Output = Result<(), E>> + Send,
    E: Into<RecordError>,
{
    let handler = &handler;
    lambda_runtime::run(service_fn(|event: LambdaEvent<Batch>| async move {
        let time = time_for_records(&event.context);
        let Batch::Queue { records } = event.payload else {
            return Err(Error::from("only a queue carries such messages"));
        };
        Ok(from_queue(&records, handler, time).await)
    }))
    .await
}

async fn from_queue<M, H, F, E>(
    records: &[SqsMessage],
    handler: &H,
    time: Duration,
) -> SqsBatchResponse
where
    M: DeserializeOwned + Send,
    H: Fn(M) -> F + Sync,
    F: Future<Output = Result<(), E>> + Send,
    E: Into<RecordError>,
{
    let judged = records.iter().map(|record| {
        let body = record.body.as_deref().unwrap_or_default().as_bytes();
        let judged = async move {
            let error = judge(body, handler, time).await.err()?;
            let id = record.message_id.clone().unwrap_or_default();
            tracing::error!(message_id = id, error = chain(error.as_ref()), "record failed");
            let mut failure = BatchItemFailure::default();
            failure.item_identifier = id;
            Some(failure)
        };
        judged.instrument(journey_of(body))
    });
    let mut response = SqsBatchResponse::default();
    response.batch_item_failures = join_all(judged).await.into_iter().flatten().collect();
    let failed = response.batch_item_failures.len();
    tracing::info!(records = records.len(), failed, "batch");
    response
}

/// Fails only when a record that failed could not be put into the queue; then the whole batch comes again.
async fn from_topics<H, F, E>(
    records: &[KafkaRecord],
    handler: &H,
    time: Duration,
    again: &impl TakesFailures,
) -> Result<(), RecordError>
where
    H: Fn(Event) -> F + Sync,
    F: Future<Output = Result<(), E>> + Send,
    E: Into<RecordError>,
{
    let judged = records.iter().map(|record| {
        let value = value(record);
        let journey = value.as_ref().map_or(Span::none(), |value| journey_of(value));
        let judged = async move {
            let judged = match &value {
                Ok(value) => judge(value, handler, time).await,
                Err(error) => Err(error.to_string().into()),
            };
            let Err(error) = judged else { return Ok(0) };
            let KafkaRecord { topic, partition, offset, .. } = record;
            let error = chain(error.as_ref());
            tracing::error!(topic, partition, offset, error, "record failed");
            again.take(delivery(record, value.ok().as_deref())).await?;
            Ok::<_, RecordError>(1)
        };
        judged.instrument(journey)
    });
    // All have their turn before one that cannot be handed over fails the batch.
    let judged: Vec<Result<usize, RecordError>> = join_all(judged).await;
    let failed: usize = judged.into_iter().sum::<Result<_, _>>()?;
    tracing::info!(records = records.len(), failed, "batch");
    Ok(())
}

/// The correlation id of a message, if the message is one of our events.
fn journey_of(message: &[u8]) -> Span {
    #[derive(Deserialize)]
    struct About {
        correlationid: Option<String>,
        detail: Option<Box<Self>>,
    }
    let about = serde_json::from_slice::<About>(message).ok();
    let id = about.and_then(|it| it.correlationid.or_else(|| it.detail?.correlationid));
    id.map_or_else(Span::none, |id| journey(&id))
}

/// If the handler panics or does not end, only this one record has failed.
async fn judge<M, H, F, E>(message: &[u8], handler: &H, time: Duration) -> Result<(), RecordError>
where
    M: DeserializeOwned + Send,
    H: Fn(M) -> F + Sync,
    F: Future<Output = Result<(), E>> + Send,
    E: Into<RecordError>,
{
    let message = serde_json::from_slice(message)?;
    let handled = AssertUnwindSafe(async { handler(message).await }).catch_unwind();
    match timeout(time, handled).await {
        Ok(Ok(done)) => done.map_err(Into::into),
        Ok(Err(_)) => Err("the handler panicked".into()),
        Err(_) => Err(format!("the handler was not done within {} s", time.as_secs()).into()),
    }
}

fn time_for_records(context: &Context) -> Duration {
    let left = context.deadline().duration_since(SystemTime::now()).unwrap_or_default();
    left.saturating_sub(RESERVE)
}

fn value(record: &KafkaRecord) -> Result<Vec<u8>, base64::DecodeError> {
    STANDARD.decode(record.value.as_deref().unwrap_or_default())
}

/// The record in the form in which EventBridge would have put it into the queue. So it is handled, kept as a dead
/// letter and sent again in the same way. A value that is not JSON stays base64.
fn delivery(record: &KafkaRecord, value: Option<&[u8]>) -> String {
    let KafkaRecord { topic, partition, offset, .. } = record;
    let event = value.and_then(|value| serde_json::from_slice::<Value>(value).ok());
    let detail = event.unwrap_or_else(|| json!(record.value));
    json!({"detail": detail, "kafka": {"topic": topic, "partition": partition, "offset": offset}})
        .to_string()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::telemetry::logged::Log;
    use trackops_aws::StoreError;
    use trackops_domain::event::data::ProviderAnswer;
    use trackops_domain::event::{Cause, Data};
    use trackops_domain::payment::PaymentState;
    use trackops_domain::{OrderId, Timestamp};

    /// Keeps the messages that it takes, or refuses all.
    #[derive(Default)]
    struct Kept {
        full: bool,
        messages: Mutex<Vec<Value>>,
    }

    impl TakesFailures for Kept {
        async fn take(&self, message: String) -> Result<(), RecordError> {
            if self.full {
                return Err(StoreError::Busy("full".into()).into());
            }
            self.messages.lock().unwrap().push(serde_json::from_str(&message).unwrap());
            Ok(())
        }
    }

    fn event(subject: &str) -> Value {
        let (at, cause) = (Timestamp::from_millis(0), Cause::default());
        let data = Data::PaymentProcessed(ProviderAnswer {
            amount: None,
            currency: None,
            order_id: OrderId::for_idempotency_key("tests", subject),
            previous_state: PaymentState::Charging,
            state: PaymentState::Paid,
        });
        let event = Event::raised(&format!("PAY#{subject}"), subject.into(), 1, at, &cause, data);
        serde_json::to_value(event).unwrap()
    }

    /// As MSK's event source mapping delivers them. Source: "Example event", Lambda Developer Guide, "MSK".
    fn records(values: &[&[u8]]) -> Vec<KafkaRecord> {
        let record = |(offset, value): (usize, &&[u8])| {
            json!({
                "topic": "order.created", "partition": 0, "offset": offset,
                "timestamp": 1_545_084_650_987_u64, "timestampType": "CREATE_TIME",
                "key": STANDARD.encode("1"), "value": STANDARD.encode(value),
                "headers": [{"content-type": [97, 98]}],
            })
        };
        let records: Vec<Value> = values.iter().enumerate().map(record).collect();
        let event = json!({
            "eventSource": "aws:kafka", "bootstrapServers": "b-1:9098",
            "records": {"order.created-0": records},
        });
        match serde_json::from_value(event).unwrap() {
            Batch::Topics { records } => records.into_values().flatten().collect(),
            Batch::Queue { .. } => panic!("it is from a topic"),
        }
    }

    const TIME: Duration = Duration::from_secs(5);

    async fn picky(event: Event) -> Result<(), RecordError> {
        match event.subject.as_str() {
            "fails" => Err("broken".into()),
            "panics" => panic!("on purpose"),
            "hangs" => std::future::pending().await,
            _ => Ok(()),
        }
    }

    #[tokio::test]
    async fn a_record_of_a_topic_that_fails_goes_to_the_queue_with_its_payload_and_blocks_none() {
        let [good, fails, panics] = ["good", "fails", "panics"].map(event);
        let texts = [&good, &fails, &panics].map(Value::to_string);
        let values: Vec<&[u8]> =
            texts.iter().map(String::as_bytes).chain([&b"{ no JSON"[..]]).collect();
        let queue = Kept::default();
        from_topics(&records(&values), &picky, TIME, &queue).await.unwrap();
        let kept = queue.messages.into_inner().unwrap();
        let at = |offset: u64| json!({"topic": "order.created", "partition": 0, "offset": offset});
        assert_eq!(
            kept,
            [
                json!({"detail": fails, "kafka": at(1)}),
                json!({"detail": panics, "kafka": at(2)}),
                json!({"detail": STANDARD.encode("{ no JSON"), "kafka": at(3)}),
            ]
        );
    }

    #[tokio::test]
    async fn what_is_logged_of_an_event_carries_its_correlation_id() {
        let test = "batch::tests::what_is_logged_of_an_event_carries_its_correlation_id";
        let Some((log, _on)) = Log::alone(test) else { return };
        let mut fails = event("fails");
        fails["correlationid"] = json!("j1");
        let texts = [fails.to_string(), "no JSON".to_owned()];
        let values: Vec<&[u8]> = texts.iter().map(String::as_bytes).collect();
        from_topics(&records(&values), &picky, TIME, &Kept::default()).await.unwrap();
        let failed: Vec<_> =
            log.lines().into_iter().filter(|line| line["message"] == "record failed").collect();
        assert_eq!(failed.len(), 2);
        assert_eq!(failed[0]["span"]["correlation_id"], "j1");
        assert!(failed[1]["span"].is_null(), "{}", failed[1]);
    }

    #[tokio::test]
    async fn a_handler_that_does_not_end_fails_its_record_alone() {
        let texts = [event("hangs").to_string(), event("good").to_string()];
        let values: Vec<&[u8]> = texts.iter().map(String::as_bytes).collect();
        let queue = Kept::default();
        let time = Duration::from_millis(50);
        from_topics(&records(&values), &picky, time, &queue).await.unwrap();
        assert_eq!(queue.messages.into_inner().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_batch_fails_only_when_not_even_the_queue_takes_what_failed() {
        let [good, fails] = ["good", "fails"].map(|subject| event(subject).to_string());
        let full = Kept { full: true, ..Kept::default() };
        assert!(from_topics(&records(&[good.as_bytes()]), &picky, TIME, &full).await.is_ok());
        assert!(from_topics(&records(&[fails.as_bytes()]), &picky, TIME, &full).await.is_err());

        // All others have had their turn by then, also those that take longer.
        let handled = std::sync::atomic::AtomicUsize::new(0);
        let slow = async |event: Event| {
            tokio::task::yield_now().await;
            picky(event).await?;
            handled.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Ok::<_, RecordError>(())
        };
        let batch = [b"{ no JSON".as_slice(), good.as_bytes(), good.as_bytes()];
        assert!(from_topics(&records(&batch), &slow, TIME, &full).await.is_err());
        assert_eq!(handled.into_inner(), 2);
    }

    #[tokio::test]
    async fn what_failed_on_a_topic_is_judged_from_the_queue_as_what_eventbridge_delivers() {
        let good = event("good").to_string();
        let record = &records(&[good.as_bytes()])[0];
        let message = |id: &str, body: String| json!({"messageId": id, "body": body});
        let batch = json!({"Records": [
            message("1", delivery(record, Some(good.as_bytes()))),
            message("2", json!({"version": "0", "detail": event("good")}).to_string()),
            message("3", json!({"detail": event("fails")}).to_string()),
            message("4", json!({"detail": STANDARD.encode("{ no JSON")}).to_string()),
        ]});
        let Batch::Queue { records } = serde_json::from_value(batch).unwrap() else {
            panic!("it is from a queue")
        };
        let handler = |delivery: Delivery| picky(delivery.detail);
        let failed = from_queue(&records, &handler, TIME).await.batch_item_failures;
        let failed: Vec<_> =
            failed.iter().map(|failure| failure.item_identifier.as_str()).collect();
        assert_eq!(failed, ["3", "4"]);
    }
}
