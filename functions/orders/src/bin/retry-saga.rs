use trackops_aws::{aggregate::Table, clients, orders::Orders};
use trackops_lambda::{Error, config::env, http, identity::Identity, telemetry};
use trackops_orders::{Sagas, retry_saga};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start()?;
    let config = clients::config()?;
    let orders = Orders::new(Table::connect(&config, env("ORDERS_TABLE")?).await);
    let sagas = Sagas::new(aws_sdk_sfn::Client::new(&config), env("SAGA_ARN")?);
    http::serve(Identity::from_env()?, |call| retry_saga::handle(&orders, &sagas, call)).await
}
