//! Consumers: every record is judged alone, and only those that failed come back.

use std::error::Error as StdError;
use std::future::Future;

use aws_lambda_events::event::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent, SqsMessage};
use futures::future::join_all;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use trackops_domain::Event;

use crate::error::chain;

pub type RecordError = Box<dyn StdError + Send + Sync>;

/// Consumes a queue that an EventBridge rule fills with our events.
pub async fn consume_events<H, F, E>(handler: H) -> Result<(), Error>
where
    H: Fn(Event) -> F + Sync,
    F: Future<Output = Result<(), E>> + Send,
    E: Into<RecordError>,
{
    /// What EventBridge puts around the event that it was given.
    #[derive(Deserialize)]
    struct Delivery {
        detail: Event,
    }
    consume(|delivery: Delivery| handler(delivery.detail)).await
}

/// Consumes a queue of JSON messages. A message that fails comes back after its visibility timeout and,
/// after the queue's `maxReceiveCount`, goes to its dead-letter queue.
pub async fn consume<M, H, F, E>(handler: H) -> Result<(), Error>
where
    M: DeserializeOwned + Send,
    H: Fn(M) -> F + Sync,
    F: Future<Output = Result<(), E>> + Send,
    E: Into<RecordError>,
{
    let handler = &handler;
    lambda_runtime::run(service_fn(|event: LambdaEvent<SqsEvent>| async move {
        let records = event.payload.records.iter().map(|record| judge(record, handler));
        let failed: Vec<String> = join_all(records).await.into_iter().flatten().collect();
        tracing::info!(records = event.payload.records.len(), failed = failed.len(), "batch");
        let mut response = SqsBatchResponse::default();
        response.batch_item_failures = failed
            .into_iter()
            .map(|id| {
                let mut failure = BatchItemFailure::default();
                failure.item_identifier = id;
                failure
            })
            .collect();
        Ok::<_, Error>(response)
    }))
    .await
}

/// The id of the record when it failed.
async fn judge<M, H, F, E>(record: &SqsMessage, handler: &H) -> Option<String>
where
    M: DeserializeOwned + Send,
    H: Fn(M) -> F + Sync,
    F: Future<Output = Result<(), E>> + Send,
    E: Into<RecordError>,
{
    let id = record.message_id.clone().unwrap_or_default();
    let message = serde_json::from_str(record.body.as_deref().unwrap_or_default());
    let done = match message {
        Ok(message) => handler(message).await.map_err(Into::into),
        Err(error) => Err(RecordError::from(error)),
    };
    let error = done.err()?;
    tracing::error!(message_id = id, error = chain(error.as_ref()), "record failed");
    Some(id)
}
