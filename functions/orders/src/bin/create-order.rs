use std::time::Duration;

use trackops_aws::{aggregate::Table, catalogue::Catalogue, clients, orders::Orders};
use trackops_lambda::config::{env, env_as};
use trackops_lambda::{Error, http, identity::Identity, telemetry};
use trackops_orders::{Products, create_order};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start()?;
    let config = clients::config()?;
    let table = Table::connect(&config, env("ORDERS_TABLE")?).await;
    let (orders, catalogue) = (Orders::new(table.clone()), Catalogue::new(table));
    let inventory = aws_sdk_lambda::Client::new(&config);
    let products = Products::new(catalogue, inventory, env("GET_ITEM_FUNCTION")?);
    let window = Duration::from_secs(env_as("PAYMENT_DEADLINE_SECONDS")?);
    let place = |call| create_order::handle(&orders, &products, window, call);
    http::serve(Identity::from_env()?, place).await
}
