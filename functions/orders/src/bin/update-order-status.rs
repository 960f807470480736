use trackops_aws::{aggregate::Table, clients, orders::Orders};
use trackops_lambda::{Error, config::env, http, identity::Identity, telemetry};
use trackops_orders::update_order_status;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start()?;
    let orders = Orders::new(Table::connect(&clients::config()?, env("ORDERS_TABLE")?).await);
    http::serve_conditional(Identity::from_env()?, |call| {
        update_order_status::handle(&orders, call)
    })
    .await
}
