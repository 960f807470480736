//! Writes several items together, or none of them, and only once, however often the SDK sends the transaction.

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{CancellationReason, Put, TransactWriteItem, Update};
use uuid::Uuid;

use crate::aggregate::Table;
use crate::error::{StoreError, is_transient};
use crate::retry;

impl Table {
    /// `Stale` when a condition failed. `Busy` when every try met a conflict: then the caller gives up too, so that the
    /// waiting times of both do not multiply.
    pub(crate) async fn transact(&self, actions: Vec<TransactWriteItem>) -> Result<(), StoreError> {
        // The same token for the same transaction: if an answer is lost, the next try, the SDK's or ours, does not
        // write twice. Source: "TransactWriteItems", DynamoDB API reference.
        let token = Uuid::now_v7().to_string();
        for attempt in 0..retry::TRIES {
            let call = self.client.transact_write_items();
            let call = call.client_request_token(&token).set_transact_items(Some(actions.clone()));
            match call.send().await.map_err(transaction_error) {
                Ok(_) => return Ok(()),
                Err(StoreError::Busy(_)) => retry::back_off(attempt).await,
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Busy("other transactions were in the way".into()))
    }
}

fn transaction_error(error: SdkError<TransactWriteItemsError>) -> StoreError {
    let reasons = match error.as_service_error() {
        Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
            cancelled.cancellation_reasons()
        }
        _ => return error.into(),
    };
    let codes: Vec<&str> = reasons.iter().filter_map(CancellationReason::code).collect();
    if codes.contains(&"ConditionalCheckFailed") {
        StoreError::Stale
    } else if codes.iter().any(|code| is_transient(code)) {
        StoreError::Busy(Box::new(error))
    } else {
        StoreError::Corrupt(Box::new(error))
    }
}

pub(crate) fn put(action: Put) -> TransactWriteItem {
    TransactWriteItem::builder().put(action).build()
}

pub(crate) fn update(action: Update) -> TransactWriteItem {
    TransactWriteItem::builder().update(action).build()
}
