//! Every minute: refunds what should have been refunded by now. No money is kept because a saga has given up.

use serde_json::Value;
use trackops_aws::payments::Payments;
use trackops_domain::Cause;
use trackops_lambda::recovery::{Recovered, recover};
use trackops_lambda::task::TaskError;

use crate::provider::Provider;
use crate::refund_payment::refund;

/// Takes no input: the schedule's event says nothing that matters.
pub async fn handle(
    payments: &Payments,
    provider: &impl Provider,
    _: Value,
) -> Result<Recovered, TaskError> {
    recover(payments.table(), |due| async move {
        let known = payments.find(&due.id).await?;
        let cause = known.map_or_else(Cause::default, |payment| payment.cause);
        refund(payments, provider, &due.id, &cause).await?;
        Ok::<_, TaskError>(())
    })
    .await
}
