//! `GET /api/events/dead-letters` says how many messages are in the dead-letter queue of each consumer.

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::QueueAttributeName;
use futures::future::try_join_all;
use lambda_http::http::StatusCode;
use serde::Serialize;
use trackops_aws::StoreError;
use trackops_lambda::http::{Answer, Call, json};
use trackops_lambda::identity::Role;

use crate::dead_letters::DeadLetters;

#[derive(Serialize)]
struct Queues {
    items: Vec<QueueView>,
}

/// Approximate, as SQS counts.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct QueueView {
    queue: String,
    messages: u64,
    /// Somebody has received them and not deleted them yet.
    in_flight: u64,
}

pub async fn handle(sqs: &Client, queues: &[DeadLetters], call: Call) -> Answer {
    call.caller.must_be(&[Role::Operator])?;
    let items = try_join_all(queues.iter().map(|queue| count(sqs, queue))).await?;
    Ok(json(StatusCode::OK, &Queues { items }))
}

async fn count(sqs: &Client, queue: &DeadLetters) -> Result<QueueView, StoreError> {
    use QueueAttributeName::{
        ApproximateNumberOfMessages as Visible, ApproximateNumberOfMessagesNotVisible as InFlight,
    };
    let call = sqs.get_queue_attributes().queue_url(&queue.dead_letters);
    let answer = call.attribute_names(Visible).attribute_names(InFlight).send().await?;
    let number = |name: &QueueAttributeName| {
        let value = answer.attributes().and_then(|all| all.get(name));
        let value = value.ok_or_else(|| StoreError::corrupt(format!("a queue without {name}")))?;
        value.parse().map_err(StoreError::corrupt)
    };
    Ok(QueueView {
        queue: queue.queue.clone(),
        messages: number(&Visible)?,
        in_flight: number(&InFlight)?,
    })
}
