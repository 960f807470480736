use trackops_aws::{aggregate::Table, clients, orders::Orders};
use trackops_lambda::{Error, config::env, task, telemetry};
use trackops_orders::abandon_order;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start()?;
    let orders = Orders::new(Table::connect(&clients::config()?, env("ORDERS_TABLE")?).await);
    task::run(|input| abandon_order::handle(&orders, input)).await
}
