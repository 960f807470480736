use trackops_aws::{aggregate::Table, clients, orders::Orders};
use trackops_lambda::{Error, config::env, http, identity::Identity, telemetry};
use trackops_orders::cancel_order;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start()?;
    let orders = Orders::new(Table::connect(&clients::config()?, env("ORDERS_TABLE")?).await);
    http::serve_conditional(Identity::from_env()?, |call| cancel_order::handle(&orders, call)).await
}
