//! `sweep-outbox` with a backlog, in a process with as many file descriptors as Lambda allows. DynamoDB and EventBridge
//! are stand-ins. They answer after some milliseconds, as AWS does, or refuse what the test chooses.

use std::sync::Arc;

use serde_json::{Value, json};
use trackops_domain::event::Cause;
use trackops_domain::order::Order;
use trackops_domain::{Timestamp, examples};
use trackops_testkit::build;
use trackops_tests::backlog::{Backlog, Faults, SHARDS, key};
use trackops_tests::lambda::{DESCRIPTORS, Function, RuntimeApi};

/// How many requests a function has under way at most, each with a connection (`shared/http`).
const CONNECTIONS: usize = 128;

/// The answer of one sweep of a backlog of so many orders, or its error; and the backlog that it left.
async fn sweep(items: usize, faults: Faults) -> (Result<Value, String>, Arc<Backlog>) {
    let cause = Cause { correlation_id: "backlog".into(), causation_id: None, traceparent: None };
    let order = Order::place(examples::order(), Timestamp::now(), cause).expect("an order");
    let (aws, environment) = Backlog::of(items, &order, faults).await.expect("a stand-in");
    let sweeper = build(&["--bin", "sweep-outbox"]).expect("it builds");
    let api = RuntimeApi::start().await.expect("a port");
    let _function =
        Function::spawn_with_files(&sweeper, &environment, &api, DESCRIPTORS).expect("it starts");
    let answer = api.invoke(json!({"olderThanSeconds": 0}).to_string().into()).await;
    (answer.map_err(|error| error.to_string()), aws)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_is_drained_with_the_descriptors_that_lambda_allows() {
    let (answer, aws) = sweep(8000, Faults::default()).await;
    let answer = answer.unwrap();
    assert_eq!(answer["items"], 8000, "{answer}");
    assert_eq!((aws.left(), aws.events()), (0, 8000));
    let connections = aws.most_connections();
    assert!(connections <= CONNECTIONS, "{connections} connections at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_and_a_page_that_cannot_be_read_keep_no_other_waiting() {
    // 250 items are in each shard; the page is the first of shard 5.
    let faults = Faults { shard: Some(3), key: Some(key(5)) };
    let (answer, aws) = sweep(250 * SHARDS, faults).await;
    let why = answer.expect_err("no alarm would ring");
    assert!(why.contains("Broken"), "{why}");
    assert_eq!(aws.left(), 250 + 100, "others waited too");
}
