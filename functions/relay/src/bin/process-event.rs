use trackops_aws::clients;
use trackops_lambda::{Error, http, identity::Identity, telemetry};
use trackops_relay::{Outboxes, Relay, process_event};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start()?;
    let config = clients::config()?;
    let (relay, outboxes) = (Relay::connect(&config, None).await?, Outboxes::from_env(&config)?);
    let process = |call| process_event::handle(&relay, &outboxes, call);
    http::serve(Identity::from_env()?, process).await
}
