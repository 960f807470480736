use trackops_aws::clients;
use trackops_lambda::{Error, http, identity::Identity, telemetry};
use trackops_relay::{Outboxes, get_event_stats};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start()?;
    let config = clients::config()?;
    let outboxes = Outboxes::from_env(&config)?;
    let store = trackops_relay::store(&config)?;
    let stats = |call| get_event_stats::handle(&outboxes, &store, call);
    http::serve_list(Identity::from_env()?, stats).await
}
