use trackops_aws::clients;
use trackops_lambda::{Error, config::env, cursor::Cursors, http, identity::Identity, telemetry};
use trackops_relay::{Outboxes, Relay, process_all_events};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start()?;
    let config = clients::config()?;
    let (relay, outboxes) = (Relay::connect(&config, None).await?, Outboxes::from_env(&config)?);
    let cursors = Cursors::connect(&config, env("CURSOR_SECRET_ARN")?).await;
    let process = |call| process_all_events::handle(&relay, &outboxes, &cursors, call);
    http::serve(Identity::from_env()?, process).await
}
