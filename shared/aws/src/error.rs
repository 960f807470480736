//! Store errors, named by what the caller does next.

use std::error::Error;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use trackops_domain::Event;

type Source = Box<dyn Error + Send + Sync>;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Somebody else was faster: load again and decide anew.
    #[error("the item has changed since it was read")]
    Stale,
    /// Contention, throttling, a timeout, IAM rights that are not active yet: try the same again a little later.
    #[error("the service is busy")]
    Busy(#[source] Source),
    /// The stored data, or the request, makes no sense: page someone.
    #[error("the store cannot be used as it is")]
    Corrupt(#[source] Source),
}

impl StoreError {
    pub fn corrupt(cause: impl Into<Source>) -> Self {
        Self::Corrupt(cause.into())
    }

    /// DynamoDB's error for one statement of a batch.
    pub(crate) fn of_statement(code: &str, message: &str) -> Self {
        let cause = || format!("{code}: {message}").into();
        match code {
            "ConditionalCheckFailed" => Self::Stale,
            code if is_transient(code) => Self::Busy(cause()),
            _ => Self::Corrupt(cause()),
        }
    }

    /// A consumer got an event that it does not take: a rule is wrong.
    pub fn unexpected(event: &Event) -> Self {
        Self::corrupt(format!("event {} is of type {}", event.id, event.kind.name()))
    }
}

/// Error codes after which the same request may succeed.
/// Source: "Error handling with DynamoDB" and the common errors of the services' API references.
const TRANSIENT: [&str; 12] = [
    "TransactionConflictException",
    "TransactionInProgressException",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "ThrottlingException",
    "Throttling",
    "TooManyRequestsException",
    "LimitExceededException",
    "ReplicatedWriteConflictException",
    "InternalServerError",
    "InternalFailure",
    "ServiceUnavailable",
];

/// Error codes that are not about the request: rights, credentials or a table that are missing during a deployment or
/// an outage. They delay, and decide nothing. Source: the common errors of the services' API references; IAM is
/// eventually consistent.
const NOT_OURS: [&str; 10] = [
    "AccessDenied",
    "AccessDeniedException",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "ResourceInUseException",
    "ResourceNotFoundException",
    "UnrecognizedClientException",
];

/// The same, for DynamoDB's answers about one part of a call. Source: "TransactWriteItems" and "BatchStatementError",
/// DynamoDB API reference.
const TRANSIENT_OF_A_PART: [&str; 3] =
    ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"];

pub(crate) fn is_transient(code: &str) -> bool {
    TRANSIENT.contains(&code) || TRANSIENT_OF_A_PART.contains(&code)
}

impl<E> From<SdkError<E>> for StoreError
where
    E: Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    fn from(error: SdkError<E>) -> Self {
        let status = error.raw_response().map(|raw| raw.status().as_u16());
        match &error {
            SdkError::TimeoutError(_)
            | SdkError::DispatchFailure(_)
            | SdkError::ResponseError(_) => Self::Busy(Box::new(error)),
            _ => match error.code() {
                Some("ConditionalCheckFailedException") => Self::Stale,
                Some(code) if is_transient(code) || NOT_OURS.contains(&code) => {
                    Self::Busy(Box::new(error))
                }
                _ if status.is_some_and(|status| status >= 500 || status == 429) => {
                    Self::Busy(Box::new(error))
                }
                _ => Self::Corrupt(Box::new(error)),
            },
        }
    }
}

impl From<serde_dynamo::Error> for StoreError {
    fn from(error: serde_dynamo::Error) -> Self {
        Self::corrupt(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canned::{self, Canned};

    async fn told(status: u16, code: &str) -> StoreError {
        let dynamodb = Canned::answering([(status, canned::error(code))]);
        dynamodb.table().item("ORDER#1").await.unwrap_err()
    }

    #[tokio::test]
    async fn a_condition_that_failed_says_load_again() {
        let error = told(400, "ConditionalCheckFailedException").await;
        assert!(matches!(error, StoreError::Stale), "{error:?}");
    }

    #[tokio::test]
    async fn contention_throttling_and_outages_say_the_same_again_later() {
        for code in TRANSIENT {
            let error = told(400, code).await;
            assert!(matches!(error, StoreError::Busy(_)), "{code}: {error:?}");
        }
        for status in [429, 500, 503] {
            let error = told(status, "SomethingNew").await;
            assert!(matches!(error, StoreError::Busy(_)), "{status}: {error:?}");
        }
    }

    #[tokio::test]
    async fn rights_that_spread_and_tables_that_are_to_come_delay_and_decide_nothing() {
        for code in NOT_OURS {
            let error = told(400, code).await;
            assert!(matches!(error, StoreError::Busy(_)), "{code}: {error:?}");
        }
    }

    #[tokio::test]
    async fn what_no_repetition_mends_pages_someone() {
        for code in ["ValidationException", "SerializationException", "SomethingNew"] {
            let error = told(400, code).await;
            assert!(matches!(error, StoreError::Corrupt(_)), "{code}: {error:?}");
        }
    }
}
