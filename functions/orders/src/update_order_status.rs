//! `PUT /api/orders/{id}/status` moves a confirmed order on: PROCESSING, SHIPPED, DELIVERED. Safe to repeat.

use lambda_http::http::StatusCode;
use serde::Deserialize;
use trackops_aws::orders::Orders;
use trackops_domain::OrderId;
use trackops_domain::order::Fact;
use trackops_lambda::http::{Answer, Call, body, path_param};
use trackops_lambda::identity::Role;
use trackops_lambda::input::{Object, word};
use trackops_lambda::problem::Problem;

use crate::change::change;

/// The statuses that operators and services set; the saga sets the others.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Stage {
    Processing,
    Shipped,
    Delivered,
}

pub async fn handle(orders: &Orders, call: Call) -> Answer {
    call.caller.must_be(&[Role::Operator, Role::Service])?;
    let id: OrderId = path_param(&call.request, "id", Problem::order_not_found)?;
    let fact = match body(&call.request)?.read(stage)? {
        Stage::Processing => Fact::ProcessingStarted,
        Stage::Shipped => Fact::Shipped,
        Stage::Delivered => Fact::Delivered,
    };
    change(orders, &id, &call, fact, StatusCode::OK).await
}

fn stage(body: &mut Object<'_>) -> Option<Stage> {
    body.required("status", word("PROCESSING, SHIPPED or DELIVERED"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use trackops_lambda::input::Input;
    use trackops_testkit::like;

    use super::*;

    fn read(body: Value) -> Result<Stage, Problem> {
        serde_json::from_value::<Input>(body).unwrap().read(stage)
    }

    #[test]
    fn only_the_stages_that_people_bring_an_order_to_are_taken() {
        for good in ["PROCESSING", "SHIPPED", "DELIVERED"] {
            read(json!({"status": good})).unwrap();
        }
        for bad in [json!("CONFIRMED"), json!("shipped"), json!(""), json!(1), json!(null)] {
            let problem = read(json!({"status": bad, "force": true})).unwrap_err();
            let errors = problem.errors.iter().map(|error| error.pointer.as_str());
            assert_eq!(errors.collect::<Vec<_>>(), ["/status", "/force"], "{bad}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_sent_is_a_stage_or_refused_with_what_to_change(
            body in like(&json!({"status": "SHIPPED"})),
        ) {
            if let Err(problem) = read(body) {
                prop_assert_eq!(problem.status, StatusCode::UNPROCESSABLE_ENTITY);
                prop_assert!(!problem.errors.is_empty());
            }
        }
    }
}
