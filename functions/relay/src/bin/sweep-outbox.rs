use trackops_aws::clients;
use trackops_lambda::{Error, task, telemetry};
use trackops_relay::{Outboxes, Relay, sweep_outbox};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start()?;
    let config = clients::config()?;
    let (relay, outboxes) = (Relay::connect(&config, None).await?, Outboxes::from_env(&config)?);
    task::run(|input| sweep_outbox::handle(&relay, &outboxes, input)).await
}
