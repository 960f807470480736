//! `POST /api/events/dead-letters/redrive` sends dead letters to their consumer again. A message is deleted only after
//! it was sent, so it may be sent twice; consumers handle repetitions correctly.

use std::time::{Duration, Instant};

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::Message;
use futures::future::join_all;
use lambda_http::http::StatusCode;
use serde::Serialize;
use trackops_aws::StoreError;
use trackops_lambda::error::chain;
use trackops_lambda::http::{Answer, Call, body, json};
use trackops_lambda::identity::Role;
use trackops_lambda::input::{Expected, Object, integer, parsed};

use crate::dead_letters::DeadLetters;

/// API Gateway waits 29 seconds, which is this function's timeout. The last messages may take a little longer than
/// this.
const BUDGET: Duration = Duration::from_secs(20);

/// Messages that a call receives. Source: "ReceiveMessage", SQS API reference.
const RECEIVED: u32 = 10;

/// For so many seconds nobody else receives a message that is being moved.
const INVISIBLE: i32 = 60;

const DEFAULT_COUNT: u32 = 100;
const MAX_COUNT: u32 = 1000;

#[derive(Default, Serialize)]
struct Redriven {
    queue: String,
    moved: u32,
    failed: u32,
    /// Whether messages may be left.
    more: bool,
}

pub async fn handle(sqs: &Client, queues: &[DeadLetters], call: Call) -> Answer {
    call.caller.must_be(&[Role::Operator])?;
    let (queue, count) = body(&call.request)?.read(|body| wanted(queues, body))?;
    let redriven = redrive(sqs, queue, count).await?;
    let (by, Redriven { queue, moved, failed, .. }) = (&call.caller.subject, &redriven);
    tracing::info!(by = by.as_str(), queue, moved, failed, "redriven");
    Ok(json(StatusCode::OK, &redriven))
}

fn wanted<'a>(queues: &'a [DeadLetters], body: &mut Object<'_>) -> Option<(&'a DeadLetters, u32)> {
    let names: Vec<_> = queues.iter().map(|known| known.queue.as_str()).collect();
    let expected = format!("one of {}", names.join(", "));
    let known = |name: &str| {
        let known = queues.iter().find(|known| known.queue == name);
        known.ok_or(Expected(&expected))
    };
    let queue = body.required("queue", parsed(known));
    let count = body.optional("count", integer(1..=MAX_COUNT)).unwrap_or(DEFAULT_COUNT);
    Some((queue?, count))
}

async fn redrive(sqs: &Client, queue: &DeadLetters, count: u32) -> Result<Redriven, StoreError> {
    let until = Instant::now() + BUDGET;
    let mut redriven = Redriven { queue: queue.queue.clone(), more: true, ..Redriven::default() };
    while redriven.moved + redriven.failed < count && Instant::now() < until {
        let wanted = (count - redriven.moved - redriven.failed).min(RECEIVED);
        let call = sqs.receive_message().queue_url(&queue.dead_letters);
        let call = call.max_number_of_messages(i32::try_from(wanted).map_err(StoreError::corrupt)?);
        // Without waiting time, a call asks only some of the servers of a queue.
        let call = call.visibility_timeout(INVISIBLE).wait_time_seconds(1);
        let answer = match call.send().await.map_err(StoreError::from) {
            Ok(answer) => answer,
            // The answer tells what was moved; `more` says that the caller has to ask again.
            Err(error) if redriven.moved + redriven.failed > 0 => {
                tracing::error!(queue = queue.queue, error = chain(&error), "not received");
                break;
            }
            Err(error) => return Err(error),
        };
        let messages = answer.messages.unwrap_or_default();
        if messages.is_empty() {
            redriven.more = false;
            break;
        }
        for moved in join_all(messages.iter().map(|message| send_back(sqs, queue, message))).await {
            match moved {
                Ok(()) => redriven.moved += 1,
                Err(error) => {
                    tracing::error!(queue = queue.queue, error = chain(&error), "not redriven");
                    redriven.failed += 1;
                }
            }
        }
    }
    Ok(redriven)
}

async fn send_back(sqs: &Client, queue: &DeadLetters, message: &Message) -> Result<(), StoreError> {
    let body = message.body.clone();
    sqs.send_message().queue_url(&queue.source).set_message_body(body).send().await?;
    let receipt = message.receipt_handle.clone();
    let deletion = sqs.delete_message().queue_url(&queue.dead_letters);
    deletion.set_receipt_handle(receipt).send().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use trackops_lambda::input::Input;

    use super::*;

    #[test]
    fn only_known_queues_and_sane_counts_are_taken() {
        let known = DeadLetters {
            queue: "start-saga".into(),
            dead_letters: "https://q/1".into(),
            source: "https://q/2".into(),
        };
        let asked = |body: Value| {
            let body: Input = serde_json::from_value(body).unwrap();
            let wanted = body.read(|body| wanted(std::slice::from_ref(&known), body));
            wanted.map(|(queue, count)| (queue.queue.clone(), count)).map_err(|problem| {
                problem.errors.into_iter().map(|error| error.pointer).collect::<Vec<_>>()
            })
        };
        assert_eq!(asked(json!({"queue": "start-saga"})).unwrap(), ("start-saga".into(), 100));
        let refused = asked(json!({"queue": "https://q/1", "count": 1001})).unwrap_err();
        assert_eq!(refused, ["/queue", "/count"]);
    }
}
