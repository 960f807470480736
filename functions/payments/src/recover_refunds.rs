//! Every minute: asks the provider about payments that should have been decided or refunded by now. So no money is
//! kept, and none stays in doubt, when a saga could not finish.

use std::time::Duration;

use serde_json::Value;
use trackops_aws::payments::Payments;
use trackops_domain::{OrderId, Timestamp};
use trackops_lambda::recovery::{Helped, Recovered, recover};
use trackops_lambda::task::TaskError;

use crate::charge_payment::record_error;
use crate::provider::Provider;
use crate::refund_payment::settle;

/// How long a provider may leave a void undecided before a person has to contact the provider.
const UNDECIDED_TOO_LONG: Duration = Duration::from_secs(3600);

/// Ignores its input: the schedule's event has nothing that it needs.
pub async fn handle(
    payments: &Payments,
    provider: &impl Provider,
    _: Value,
) -> Result<Recovered, TaskError> {
    recover(payments.table(), |id| look_after(payments, provider, id)).await
}

async fn look_after(
    payments: &Payments,
    provider: &impl Provider,
    id: OrderId,
) -> Result<Helped, TaskError> {
    let payment = payments.void_unpaid(&id).await.map_err(record_error)?;
    let cause = payment.cause.clone();
    let payment = settle(payments, provider, payment, &cause).await?;
    let now = Timestamp::now();
    if let Some(undecided) = payment.undecided_for(now)
        && undecided >= UNDECIDED_TOO_LONG
    {
        // An alarm counts this line.
        let (order_id, seconds) = (id, undecided.as_secs());
        tracing::error!(%order_id, seconds, "the provider does not decide a void");
    }
    Ok(payment.ask_again_after(now).map_or(Helped::Done, Helped::Waits))
}
