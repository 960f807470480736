use trackops_aws::clients;
use trackops_lambda::{Error, http, identity::Identity, telemetry};
use trackops_relay::{Outboxes, discard_event};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start()?;
    let config = clients::config()?;
    let outboxes = Outboxes::from_env(&config)?;
    let store = trackops_relay::store(&config)?;
    let discard = |call| discard_event::handle(&outboxes, &store, call);
    http::serve(Identity::from_env()?, discard).await
}
