use trackops_aws::clients;
use trackops_lambda::{Error, config::env, cursor::Cursors, http, identity::Identity, telemetry};
use trackops_relay::{Outboxes, list_unprocessed_events};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start()?;
    let config = clients::config()?;
    let outboxes = Outboxes::from_env(&config)?;
    let store = trackops_relay::store(&config)?;
    let cursors = Cursors::connect(&config, env("CURSOR_SECRET_ARN")?).await;
    let list = |call| list_unprocessed_events::handle(&outboxes, &store, &cursors, call);
    http::serve_list(Identity::from_env()?, list).await
}
