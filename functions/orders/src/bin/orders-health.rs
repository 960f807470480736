use trackops_aws::{aggregate::Table, bus::Bus, clients, orders::Orders};
use trackops_lambda::{Error, config::env, http, telemetry};
use trackops_orders::{Sagas, orders_health};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start()?;
    let config = clients::config()?;
    // Not connected yet: if a table is down, the answer must say so.
    let orders = Orders::new(Table::at(&config, env("ORDERS_TABLE")?));
    let sagas = Sagas::new(aws_sdk_sfn::Client::new(&config), env("SAGA_ARN")?);
    let bus = env("EVENT_BUS").ok();
    let bus = bus.map(|name| Bus::new(aws_sdk_eventbridge::Client::new(&config), name));
    http::serve_public(|_, _| orders_health::handle(&orders, &sagas, bus.as_ref())).await
}
