//! `POST /api/payments/webhook` receives the provider's notices. A notice is verified, then stored, before anything
//! acts on it. Safe to repeat. Unknown fields are ignored and unknown outcomes kept, never refused: a provider may add
//! to its notices.

use std::collections::BTreeSet;
use std::sync::{LazyLock, Mutex, PoisonError};

use lambda_http::http::StatusCode;
use lambda_http::{Request, Response};
use serde::Serialize;
use serde::de::value::Error as NoSuchWord;
use serde::de::{Deserialize, IntoDeserializer};
use trackops_aws::payments::{Payments, RecordError};
use trackops_aws::secrets::SecretSource;
use trackops_domain::payment::Fact;
use trackops_domain::{Cause, OrderId, Timestamp};
use trackops_lambda::http::{Answer, body, header_text};
use trackops_lambda::input::{Object, parsed, text};
use trackops_lambda::problem::Problem;

use crate::provider::Charge;
use crate::signature::{SIGNATURE, TIMESTAMP, verify};

/// Characters of an outcome, known or unknown.
const MAX_OUTCOME: usize = 64;

/// How many unknown fields are remembered as already logged.
const MAX_NOTED: usize = 100;

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
    secret: &SecretSource,
    request: Request,
    cause: Cause,
) -> Answer {
    let (timestamp, signature) =
        (header_text(&request, &TIMESTAMP), header_text(&request, &SIGNATURE));
    let secret = secret.get().await?;
    verify(secret, timestamp, signature, request.body(), Timestamp::now()).map_err(|refused| {
        Problem::new(StatusCode::UNAUTHORIZED, "bad-signature", "The webhook is not signed well.")
            .detail(refused.to_string())
    })?;
    let (told, unknown) = body(&request)?.read_tolerantly(told)?;
    note_once(unknown);
    // The journey of the order goes on under its own correlation id.
    let known = payments.find(&told.charge_key).await?;
    let cause = known.map_or(cause, |payment| payment.cause);
    let recorded = match told.outcome() {
        Some(outcome) => {
            let fact = match outcome {
                Charge::Paid => Fact::ProviderPaid,
                Charge::Declined => Fact::ProviderDeclined,
                Charge::Pending => Fact::ProviderPending,
            };
            payments.record(&told.charge_key, fact, &cause).await
        }
        None => {
            // An alarm counts this line.
            let (order_id, outcome) = (told.charge_key, &told.outcome);
            tracing::error!(%order_id, outcome, "the provider says what this version does not know");
            payments.keep(&told.charge_key, outcome).await
        }
    };
    match recorded {
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

/// What the provider sent: a [`Notice`], or a notice of a newer version of the provider.
#[derive(Debug)]
struct Told {
    charge_key: OrderId,
    outcome: String,
}

impl Told {
    /// `None`: an outcome that this version does not know.
    fn outcome(&self) -> Option<Charge> {
        Charge::deserialize(IntoDeserializer::<NoSuchWord>::into_deserializer(
            self.outcome.as_str(),
        ))
        .ok()
    }
}

fn told(body: &mut Object<'_>) -> Option<Told> {
    let charge_key = body.required("chargeKey", parsed(str::parse));
    let outcome = body.required("outcome", text(MAX_OUTCOME));
    Some(Told { charge_key: charge_key?, outcome: outcome? })
}

/// Logs each unknown field once in the life of this environment.
fn note_once(unknown: Vec<String>) {
    static NOTED: LazyLock<Mutex<BTreeSet<String>>> = LazyLock::new(Mutex::default);
    let mut noted = NOTED.lock().unwrap_or_else(PoisonError::into_inner);
    for field in unknown {
        if noted.len() < MAX_NOTED && noted.insert(field.clone()) {
            tracing::warn!(field, "the provider sends a field that this version does not know");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use trackops_lambda::input::Input;
    use trackops_testkit::like;

    use super::*;

    fn read(body: Value) -> Result<(Told, Vec<String>), Problem> {
        serde_json::from_value::<Input>(body).unwrap().read_tolerantly(told)
    }

    fn paid() -> Value {
        json!({"chargeKey": "019f8c11-3a52-7c60-9d0e-5b7a1f2c4e68", "outcome": "PAID"})
    }

    #[test]
    fn what_the_provider_sends_is_read_and_everything_that_is_missing_is_said_at_once() {
        let (told, _) = read(paid()).unwrap();
        assert_eq!(told.outcome(), Some(Charge::Paid));
        let notice = Notice { charge_key: told.charge_key, outcome: Charge::Paid };
        assert_eq!(json!(notice), paid());
        let problem = read(json!({"outcome": 7, "amount": "1.00"})).unwrap_err();
        let errors = problem.errors.iter().map(|error| error.pointer.as_str());
        assert_eq!(errors.collect::<Vec<_>>(), ["/chargeKey", "/outcome"]);
    }

    #[test]
    fn a_field_more_is_passed_over_and_a_word_that_is_new_is_no_refusal() {
        let mut newer = paid();
        newer["livemode"] = json!({"nested": [true]});
        let (told, unknown) = read(newer).unwrap();
        assert_eq!((told.outcome(), unknown), (Some(Charge::Paid), vec!["livemode".to_owned()]));
        let mut newer = paid();
        newer["outcome"] = json!("PARTIALLY_PAID");
        assert_eq!(read(newer).unwrap().0.outcome(), None);
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
