use trackops_aws::{aggregate::Table, clients, orders::Orders};
use trackops_lambda::{Error, config::env, cursor::Cursors, http, identity::Identity, telemetry};
use trackops_relay::{bus::EventBus, replay_events};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start()?;
    let config = clients::config()?;
    let orders = Orders::new(Table::at(&config, env("ORDERS_TABLE")?));
    let cursors = Cursors::connect(&config, env("CURSOR_SECRET_ARN")?).await;
    let bus = EventBus::connect(&config, None).await?;
    let replay = |call| replay_events::handle(&bus, &orders, &cursors, call);
    http::serve(Identity::from_env()?, replay).await
}
