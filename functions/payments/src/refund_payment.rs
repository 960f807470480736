//! Saga: sees to it that no money is kept, and that none is taken later. Safe to repeat.

use serde::Deserialize;
use trackops_aws::payments::Payments;
use trackops_domain::payment::{Fact, PaymentState};
use trackops_domain::{Cause, OrderId};
use trackops_lambda::task::TaskError;

use crate::charge_payment::{Output, record_error};
use crate::provider::{Provider, ProviderError, Void};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    order_id: OrderId,
    cause: Cause,
}

pub async fn handle(
    payments: &Payments,
    provider: &impl Provider,
    input: Input,
) -> Result<Output, TaskError> {
    refund(payments, provider, &input.order_id, &input.cause).await
}

pub(crate) async fn refund(
    payments: &Payments,
    provider: &impl Provider,
    id: &OrderId,
    cause: &Cause,
) -> Result<Output, TaskError> {
    let mut payment = payments.void(id, cause).await.map_err(record_error)?;
    // Without an intent the provider was never asked, and our tombstone keeps it so.
    if payment.state == PaymentState::Voided && payment.intent.is_some() {
        match provider.void(id).await.map_err(provider_error)? {
            Void::NotTaken | Void::Undecided => {}
            Void::Taken => {
                let taken = payments.record(id, Fact::ProviderPaid, cause).await;
                payment = taken.map_err(record_error)?;
            }
        }
    }
    if payment.state == PaymentState::Refunding {
        provider.refund(id).await.map_err(provider_error)?;
        let refunded = payments.record(id, Fact::ProviderRefunded, cause).await;
        payment = refunded.map_err(record_error)?;
    }
    Ok(Output { state: payment.state })
}

fn provider_error(error: ProviderError) -> TaskError {
    match error {
        ProviderError::Unknown(_) => TaskError::busy(error),
        ProviderError::Refused(_) => TaskError::broken(error),
    }
}
