//! `GET /api/events/dead-letters` says how many messages are in the dead-letter queue of each consumer.

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::QueueAttributeName;
use futures::future::join_all;
use lambda_http::http::StatusCode;
use serde::Serialize;
use trackops_aws::StoreError;
use trackops_lambda::error::chain;
use trackops_lambda::http::{Answer, Call, json};
use trackops_lambda::identity::Role;

use crate::dead_letters::DeadLetters;

#[derive(Debug, Default, Serialize)]
struct Queues {
    items: Vec<QueueView>,
    /// Consumers whose queue could not be asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unreadable: Vec<String>,
}

/// Approximate, as SQS counts.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct QueueView {
    queue: String,
    messages: u64,
    /// Somebody has received them and not deleted them yet.
    in_flight: u64,
}

pub async fn handle(sqs: &Client, queues: &[DeadLetters], call: Call) -> Answer {
    call.caller.must_be(&[Role::Operator])?;
    let counts = join_all(queues.iter().map(|queue| count(sqs, queue))).await;
    let names = queues.iter().map(|queue| queue.queue.as_str());
    Ok(json(StatusCode::OK, &listed(names.zip(counts))?))
}

/// A queue that cannot be asked does not hide the others. Only when no queue can be asked, the call fails.
fn listed<'a>(
    counts: impl Iterator<Item = (&'a str, Result<QueueView, StoreError>)>,
) -> Result<Queues, StoreError> {
    let (mut queues, mut last) = (Queues::default(), None);
    for (queue, count) in counts {
        match count {
            Ok(view) => queues.items.push(view),
            Err(error) => {
                tracing::error!(queue, error = chain(&error), "dead letters not counted");
                queues.unreadable.push(queue.to_owned());
                last = Some(error);
            }
        }
    }
    match last {
        Some(error) if queues.items.is_empty() => Err(error),
        _ => Ok(queues),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(queue: &str, can_be: bool) -> (&str, Result<QueueView, StoreError>) {
        let view = QueueView { queue: queue.to_owned(), messages: 1, in_flight: 0 };
        (queue, if can_be { Ok(view) } else { Err(StoreError::Busy("throttled".into())) })
    }

    #[test]
    fn a_queue_that_cannot_be_asked_is_named_and_hides_no_other() {
        let counts = [asked("a", true), asked("b", false), asked("c", true)];
        let queues = listed(counts.into_iter()).unwrap();
        let names: Vec<_> = queues.items.iter().map(|view| view.queue.as_str()).collect();
        assert_eq!((names, queues.unreadable), (vec!["a", "c"], vec!["b".to_owned()]));
        assert!(listed([asked("a", false)].into_iter()).is_err(), "nothing could be asked");
    }
}
