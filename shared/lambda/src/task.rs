//! Saga tasks: outcomes that the state machine can tell apart by name.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;

use lambda_runtime::{Diagnostic, Error, LambdaEvent, service_fn};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tracing::{Instrument, Span};
use trackops_aws::StoreError;

use crate::error::chain;
use crate::telemetry::journey;

/// An error that `Retry` and `Catch` of the state machine match by `name`.
#[derive(Debug)]
pub struct TaskError {
    pub name: &'static str,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl TaskError {
    /// Nothing is wrong with the system; the saga goes another way.
    pub fn outcome(name: &'static str, message: impl Into<String>) -> Self {
        Self { name, message: message.into(), source: None }
    }

    /// Trying the same again may work.
    pub fn busy(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let message = "busy; try again".into();
        Self { name: "Busy", message, source: Some(source.into()) }
    }

    /// The input seems to be of another version. This decides nothing, and a deployment may mend it.
    fn unreadable(source: serde_json::Error) -> Self {
        let message = "the input cannot be read; the log says why".into();
        Self { name: "UnreadableInput", message, source: Some(source.into()) }
    }

    /// Trying again does not help; a person must look at it.
    pub fn broken(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let message = "failed; the log says why".into();
        Self { name: "Broken", message, source: Some(source.into()) }
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.message)
    }
}

impl StdError for TaskError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

impl From<StoreError> for TaskError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Stale | StoreError::Busy(_) => Self::busy(error),
            StoreError::Corrupt(_) => Self::broken(error),
        }
    }
}

impl From<TaskError> for Diagnostic {
    fn from(error: TaskError) -> Self {
        Self { error_type: error.name.into(), error_message: error.message }
    }
}

/// Runs a function that is invoked with JSON and answers with JSON.
pub async fn run<I, O, H, F>(handler: H) -> Result<(), Error>
where
    I: DeserializeOwned + Send,
    O: Serialize + Send,
    H: Fn(I) -> F + Sync,
    F: Future<Output = Result<O, TaskError>> + Send,
{
    let handler = &handler;
    lambda_runtime::run(service_fn(|event: LambdaEvent<Value>| async move {
        let journey = match event.payload["cause"]["correlationId"].as_str() {
            Some(correlation_id) => journey(correlation_id),
            None => Span::none(),
        };
        answer(handler, event.payload).instrument(journey).await
    }))
    .await
}

async fn answer<I, O, H, F>(handler: &H, payload: Value) -> Result<O, TaskError>
where
    I: DeserializeOwned + Send,
    H: Fn(I) -> F + Sync,
    F: Future<Output = Result<O, TaskError>> + Send,
{
    let answer = match serde_json::from_value(payload) {
        Ok(input) => handler(input).await,
        Err(error) => Err(TaskError::unreadable(error)),
    };
    match &answer {
        Ok(_) => tracing::info!("done"),
        Err(TaskError { name, message, source: None }) => {
            tracing::info!(outcome = name, message, "done");
        }
        Err(TaskError { name, source: Some(source), .. }) => {
            tracing::error!(outcome = name, error = chain(source.as_ref()), "failed");
        }
    }
    answer
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn an_input_that_cannot_be_read_decides_nothing() {
        async fn handler(_: u32) -> Result<(), TaskError> {
            Ok(())
        }
        let error = answer(&handler, json!({"of": "a newer version"})).await.unwrap_err();
        assert_eq!(error.name, "UnreadableInput", "the saga takes it for something to give up for");
    }

    #[test]
    fn a_store_that_is_busy_decides_nothing_and_one_that_makes_no_sense_is_looked_at() {
        assert_eq!(TaskError::from(StoreError::Stale).name, "Busy");
        assert_eq!(TaskError::from(StoreError::Busy("throttled".into())).name, "Busy");
        assert_eq!(TaskError::from(StoreError::corrupt("odd")).name, "Broken");
    }
}
