use trackops_aws::{aggregate::Table, clients, orders::Orders};
use trackops_lambda::{Error, config::env, http, identity::Identity, telemetry};
use trackops_orders::get_order_timeline;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start()?;
    let orders = Orders::new(Table::connect(&clients::config()?, env("ORDERS_TABLE")?).await);
    http::serve(Identity::from_env()?, |call| get_order_timeline::handle(&orders, call)).await
}
