//! Saga: makes sure that no money is kept, and that none is taken later. Safe to repeat.

use serde::{Deserialize, Serialize};
use trackops_aws::payments::Payments;
use trackops_domain::payment::{Fact, Payment, PaymentState};
use trackops_domain::{Cause, OrderId};
use trackops_lambda::task::TaskError;

use crate::charge_payment::record_error;
use crate::provider::{Provider, ProviderError, Void};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    order_id: OrderId,
    cause: Cause,
}

#[derive(Serialize)]
pub struct Output {
    state: PaymentState,
    /// The outcome of this step when there was no money to give back.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
}

impl Output {
    fn of(payment: &Payment) -> Self {
        use PaymentState as S;
        let outcome = match payment.state {
            S::Voided | S::Declined if payment.undecided_since.is_some() => Some("VoidUndecided"),
            S::Voided | S::Declined => Some("NothingToRefund"),
            S::Refunding if payment.refund_refused_since.is_some() => Some("RefundRefused"),
            S::Charging | S::Awaiting | S::Paid | S::Refunding | S::Refunded => None,
        };
        Self { state: payment.state, outcome }
    }
}

pub async fn handle(
    payments: &Payments,
    provider: &impl Provider,
    input: Input,
) -> Result<Output, TaskError> {
    let Input { order_id, cause } = input;
    let payment = payments.void(&order_id, &cause).await.map_err(record_error)?;
    Ok(Output::of(&settle(payments, provider, payment, &cause).await?))
}

/// Voids or refunds a payment that is not wanted any more. The payment stays due until the provider has confirmed it.
/// When the provider refuses a refund, people have to sort it out with the provider: the payment notes it, an alarm
/// rings once, and everything else goes on.
pub(crate) async fn settle(
    payments: &Payments,
    provider: &impl Provider,
    mut payment: Payment,
    cause: &Cause,
) -> Result<Payment, TaskError> {
    let id = payment.id;
    let record = async |fact| payments.record(&id, fact, cause).await.map_err(record_error);
    let undecided = payment.undecided_since.is_some();
    // Without an intent the provider was never asked, and the tombstone makes sure that it never will be.
    let voided = payment.state == PaymentState::Voided && payment.intent.is_some();
    if voided || undecided {
        let void = match provider.void(&id).await {
            Ok(void) => void,
            Err(ProviderError::Refused(why)) => {
                tracing::warn!(order_id = %id, why, "the provider refuses a void");
                Void::Undecided
            }
            Err(error @ ProviderError::Unknown(_)) => return Err(TaskError::busy(error)),
        };
        match void {
            Void::NotTaken if !undecided => {}
            Void::NotTaken => payment = record(Fact::ProviderDeclined).await?,
            Void::Undecided => payment = record(Fact::ProviderPending).await?,
            Void::Taken => payment = record(Fact::ProviderPaid).await?,
        }
    }
    if payment.state == PaymentState::Refunding {
        match provider.refund(&id).await {
            Ok(()) => payment = record(Fact::ProviderRefunded).await?,
            Err(ProviderError::Refused(why)) => {
                let first = payment.refund_refused_since.is_none();
                payment = record(Fact::RefundRefused).await?;
                if first {
                    // An alarm counts this line.
                    tracing::error!(order_id = %id, why, "the provider refuses a refund");
                }
            }
            Err(error @ ProviderError::Unknown(_)) => return Err(TaskError::busy(error)),
        }
    }
    Ok(payment)
}
