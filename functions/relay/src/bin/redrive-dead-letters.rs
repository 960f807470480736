use trackops_aws::clients;
use trackops_lambda::{Error, http, identity::Identity, telemetry};
use trackops_relay::{dead_letters, redrive_dead_letters};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start()?;
    let sqs = aws_sdk_sqs::Client::new(&clients::config()?);
    let queues = dead_letters::from_env()?;
    let redrive = |call| redrive_dead_letters::handle(&sqs, &queues, call);
    http::serve(Identity::from_env()?, redrive).await
}
