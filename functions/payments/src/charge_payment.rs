//! Saga: takes the money for an order, once. The intent is stored before the provider hears of it. Safe to repeat.

use serde::{Deserialize, Serialize};
use trackops_aws::payments::{Payments, RecordError};
use trackops_domain::money::Currency;
use trackops_domain::payment::{Fact, Intent, Payment, PaymentState};
use trackops_domain::{Cause, OrderId, Timestamp};
use trackops_lambda::task::TaskError;

use crate::provider::{Charge, Provider, ProviderError};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    order_id: OrderId,
    /// Minor units.
    amount: i64,
    currency: Currency,
    payment_method: String,
    payment_deadline: Timestamp,
    cause: Cause,
}

#[derive(Serialize)]
pub struct Output {
    pub state: PaymentState,
}

pub async fn handle(
    payments: &Payments,
    provider: &impl Provider,
    input: Input,
) -> Result<Output, TaskError> {
    let intent = Intent {
        amount: input.amount,
        currency: input.currency,
        method: input.payment_method,
        wanted_until: input.payment_deadline,
    };
    // After the deadline no new charge is made. A charge that was made before may have been paid in time.
    if input.payment_deadline <= Timestamp::now() && payments.find(&input.order_id).await?.is_none()
    {
        return Err(payment_overdue());
    }
    let intended = Payment::intended(input.order_id, intent, Timestamp::now(), input.cause.clone());
    let mut payment = payments.intend(intended).await?;
    // Asked even if another run is asking now, or died while it asked: under the same key there is only one charge.
    if let (PaymentState::Charging, Some(intent)) = (payment.state, &payment.intent) {
        // After the deadline the provider is asked for nothing new, only for what became of the charge: it may have
        // been paid in time, and its answer got lost.
        let charge = if payment.is_overdue(Timestamp::now()) {
            look(provider, &input.order_id).await?.ok_or_else(payment_overdue)?
        } else {
            ask(provider, &input.order_id, intent).await?
        };
        let fact = match charge {
            Charge::Paid => Fact::ProviderPaid,
            Charge::Declined => Fact::ProviderDeclined,
            Charge::Pending => Fact::ProviderPending,
        };
        payment =
            payments.record(&input.order_id, fact, &input.cause).await.map_err(record_error)?;
    }
    use PaymentState as S;
    match payment.state {
        S::Paid => Ok(Output { state: payment.state }),
        S::Declined => Err(TaskError::outcome("PaymentDeclined", "the provider declined")),
        // Only a payment without an outcome can be overdue. A payment that came in time counts, however late a run
        // looks at it.
        S::Awaiting if payment.is_overdue(Timestamp::now()) => Err(payment_overdue()),
        // The payment was given up after the deadline, perhaps by `recover-refunds` while the order was waiting.
        S::Voided | S::Refunding | S::Refunded if payment.is_overdue(Timestamp::now()) => {
            Err(payment_overdue())
        }
        S::Awaiting => Err(TaskError::outcome("PaymentPending", "the provider answers later")),
        S::Voided | S::Refunding | S::Refunded => {
            Err(TaskError::outcome("OrderCancelling", "the payment was voided before"))
        }
        S::Charging => Err(TaskError::busy("the charge has no outcome yet")),
    }
}

fn payment_overdue() -> TaskError {
    TaskError::outcome("PaymentOverdue", "the payment deadline has passed")
}

/// A certain outcome: when the provider does not answer the charge, it is asked what it knows about it.
async fn ask(
    provider: &impl Provider,
    key: &OrderId,
    intent: &Intent,
) -> Result<Charge, TaskError> {
    match provider.charge(key, intent).await {
        Ok(charge) => Ok(charge),
        Err(error @ ProviderError::Refused(_)) => Err(TaskError::broken(error)),
        Err(ProviderError::Unknown(cause)) => match provider.find(key).await {
            Ok(Some(charge)) => Ok(charge),
            // The charge is not there yet, or the provider is down: the next try asks under the same key.
            Ok(None) => Err(TaskError::busy(ProviderError::Unknown(cause))),
            Err(error) => Err(TaskError::busy(error)),
        },
    }
}

/// What a charge that was made before has become. `None`: it has no outcome, or was never made.
async fn look(provider: &impl Provider, key: &OrderId) -> Result<Option<Charge>, TaskError> {
    let found = provider.find(key).await.map_err(TaskError::busy)?;
    Ok(found.filter(|charge| *charge != Charge::Pending))
}

pub(crate) fn record_error(error: RecordError) -> TaskError {
    match error {
        RecordError::Store(error) => error.into(),
        RecordError::NoPayment(_) | RecordError::Illegal(_) => TaskError::broken(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::Void;

    /// It knows of a charge what it was given, and must be asked for nothing else.
    struct Knows(Option<Charge>);

    impl Provider for Knows {
        async fn charge(&self, _: &OrderId, _: &Intent) -> Result<Charge, ProviderError> {
            panic!("a new charge after the deadline")
        }

        async fn find(&self, _: &OrderId) -> Result<Option<Charge>, ProviderError> {
            Ok(self.0)
        }

        async fn void(&self, _: &OrderId) -> Result<Void, ProviderError> {
            panic!("nothing is decided yet")
        }

        async fn refund(&self, _: &OrderId) -> Result<(), ProviderError> {
            panic!("nothing is decided yet")
        }
    }

    #[tokio::test]
    async fn after_the_deadline_a_charge_counts_as_what_it_has_become_and_none_is_made() {
        let key = OrderId::generate();
        for known in [Some(Charge::Paid), Some(Charge::Declined)] {
            assert_eq!(look(&Knows(known), &key).await.unwrap(), known);
        }
        for undecided in [Some(Charge::Pending), None] {
            assert_eq!(look(&Knows(undecided), &key).await.unwrap(), None);
        }
    }
}
