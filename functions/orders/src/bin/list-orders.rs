use trackops_aws::{aggregate::Table, clients, orders::Orders};
use trackops_lambda::{Error, config::env, cursor::Cursors, http, identity::Identity, telemetry};
use trackops_orders::list_orders;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start()?;
    let config = clients::config()?;
    let orders = Orders::new(Table::connect(&config, env("ORDERS_TABLE")?).await);
    let cursors = Cursors::connect(&config, env("CURSOR_SECRET_ARN")?).await;
    http::serve_list(Identity::from_env()?, |call| list_orders::handle(&orders, &cursors, call))
        .await
}
