//! `POST /api/payments/webhook` hears from the provider. Stored before anything acts on it; safe to repeat.

use lambda_http::http::StatusCode;
use lambda_http::{Request, Response};
use serde::Serialize;
use trackops_aws::payments::{Payments, RecordError};
use trackops_aws::secrets::Secret;
use trackops_domain::payment::Fact;
use trackops_domain::{Cause, OrderId, Timestamp};
use trackops_lambda::http::{Answer, body, header_text};
use trackops_lambda::input::{Object, parsed, word};
use trackops_lambda::problem::Problem;

use crate::provider::Charge;
use crate::signature::{SIGNATURE, TIMESTAMP, verify};

/// What the provider tells.
#[derive(Debug, Serialize)]
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
    let notice = body(&request)?.read(notice)?;
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

fn notice(body: &mut Object<'_>) -> Option<Notice> {
    let charge_key = body.required("chargeKey", parsed(str::parse));
    let outcome = body.required("outcome", word("PAID, DECLINED or PENDING"));
    Some(Notice { charge_key: charge_key?, outcome: outcome? })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use trackops_lambda::input::Input;
    use trackops_testkit::like;

    use super::*;

    fn read(body: Value) -> Result<Notice, Problem> {
        serde_json::from_value::<Input>(body).unwrap().read(notice)
    }

    fn paid() -> Value {
        json!({"chargeKey": "019f8c11-3a52-7c60-9d0e-5b7a1f2c4e68", "outcome": "PAID"})
    }

    #[test]
    fn what_the_provider_sends_is_read_and_everything_that_is_wrong_is_said_at_once() {
        let notice = read(paid()).unwrap();
        assert_eq!((notice.outcome, json!(notice)), (Charge::Paid, paid()));
        let problem = read(json!({"outcome": "paid", "amount": "1.00"})).unwrap_err();
        let errors = problem.errors.iter().map(|error| error.pointer.as_str());
        assert_eq!(errors.collect::<Vec<_>>(), ["/chargeKey", "/outcome", "/amount"]);
    }

    proptest! {
        #[test]
        fn whatever_is_sent_is_a_notice_or_refused_with_what_to_change(body in like(&paid())) {
            if let Err(problem) = read(body) {
                prop_assert_eq!(problem.status, StatusCode::UNPROCESSABLE_ENTITY);
                prop_assert!(!problem.errors.is_empty());
            }
        }
    }
}
