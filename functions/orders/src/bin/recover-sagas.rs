use trackops_aws::{aggregate::Table, clients, orders::Orders};
use trackops_lambda::{Error, config::env, task, telemetry};
use trackops_orders::{Sagas, recover_sagas};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start()?;
    let config = clients::config()?;
    let orders = Orders::new(Table::connect(&config, env("ORDERS_TABLE")?).await);
    let sagas = Sagas::new(aws_sdk_sfn::Client::new(&config), env("SAGA_ARN")?);
    task::run(|input| recover_sagas::handle(&orders, &sagas, input)).await
}
