use trackops_aws::{aggregate::Table, clients, relay::RelayStore};
use trackops_lambda::{Error, config::env, cursor::Cursors, http, identity::Identity, telemetry};
use trackops_relay::{Outboxes, list_unprocessed_events};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start()?;
    let config = clients::config()?;
    let outboxes = Outboxes::from_env(&config)?;
    let store = RelayStore::new(Table::at(&config, env("RELAY_TABLE")?));
    let cursors = Cursors::load(&config, env("CURSOR_SECRET_ARN")?).await?;
    let list = |call| list_unprocessed_events::handle(&outboxes, &store, &cursors, call);
    http::serve_list(Identity::from_env()?, list).await
}
