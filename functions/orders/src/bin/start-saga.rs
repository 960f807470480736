use trackops_aws::{aggregate::Table, clients, orders::Orders};
use trackops_lambda::{Error, batch, config::env, telemetry};
use trackops_orders::{Sagas, start_saga};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start()?;
    let config = clients::config()?;
    let orders = Orders::new(Table::connect(&config, env("ORDERS_TABLE")?).await);
    let sagas = Sagas::new(aws_sdk_sfn::Client::new(&config), env("SAGA_ARN")?);
    batch::consume_events(&config, |event| start_saga::handle(&orders, &sagas, event)).await
}
