//! `POST /api/payments/webhook` hears from the provider. Stored before anything acts on it; safe to repeat.

use lambda_http::http::StatusCode;
use lambda_http::{Request, Response};
use serde::{Deserialize, Serialize};
use trackops_aws::payments::{Payments, RecordError};
use trackops_aws::secrets::Secret;
use trackops_domain::payment::Fact;
use trackops_domain::{Cause, OrderId, Timestamp};
use trackops_lambda::http::{Answer, body, header_text};
use trackops_lambda::problem::Problem;

use crate::provider::Charge;
use crate::signature::{SIGNATURE, TIMESTAMP, verify};

/// What the provider tells.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    /// The idempotency key of the charge.
    pub charge_key: OrderId,
    pub outcome: Charge,
}

pub async fn handle(
    payments: &Payments,
    secret: &Secret,
    request: Request,
    cause: Cause,
) -> Answer {
    let (timestamp, signature) =
        (header_text(&request, &TIMESTAMP), header_text(&request, &SIGNATURE));
    verify(secret, timestamp, signature, request.body(), Timestamp::now()).map_err(|refused| {
        Problem::new(StatusCode::UNAUTHORIZED, "bad-signature", "The webhook is not signed well.")
            .detail(refused.to_string())
    })?;
    let notice: Notice = body(&request)?;
    let fact = match notice.outcome {
        Charge::Paid => Fact::ProviderPaid,
        Charge::Declined => Fact::ProviderDeclined,
        Charge::Pending => Fact::ProviderPending,
    };
    // The journey of the order goes on under its own correlation id.
    let known = payments.find(&notice.charge_key).await?;
    let cause = known.map_or(cause, |payment| payment.cause);
    match payments.record(&notice.charge_key, fact, &cause).await {
        Ok(_) => {
            let mut response = Response::new(lambda_http::Body::Empty);
            *response.status_mut() = StatusCode::NO_CONTENT;
            Ok(response)
        }
        Err(RecordError::NoPayment(_)) => {
            Err(Problem::not_found("payment-not-found", "There is no payment under this key."))
        }
        Err(error @ RecordError::Illegal(_)) => {
            let title = "The notice contradicts what was told before.";
            let mut problem = Problem::new(StatusCode::CONFLICT, "contradiction", title);
            problem.source = Some(Box::new(error));
            Err(problem)
        }
        Err(RecordError::Store(error)) => Err(error.into()),
    }
}
