use trackops_aws::{aggregate::Table, clients, relay::RelayStore};
use trackops_lambda::{Error, config::env, http, identity::Identity, telemetry};
use trackops_relay::{Outboxes, get_event_stats};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start()?;
    let config = clients::config()?;
    let outboxes = Outboxes::from_env(&config)?;
    let store = RelayStore::new(Table::at(&config, env("RELAY_TABLE")?));
    let stats = |call| get_event_stats::handle(&outboxes, &store, call);
    http::serve_list(Identity::from_env()?, stats).await
}
