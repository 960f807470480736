use trackops_aws::{aggregate::Table, clients, relay::RelayStore};
use trackops_lambda::{Error, config::env, http, identity::Identity, telemetry};
use trackops_relay::{Outboxes, discard_event};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start()?;
    let config = clients::config()?;
    let outboxes = Outboxes::from_env(&config)?;
    let store = RelayStore::new(Table::at(&config, env("RELAY_TABLE")?));
    let discard = |call| discard_event::handle(&outboxes, &store, call);
    http::serve(Identity::from_env()?, discard).await
}
