use trackops_aws::{aggregate::Table, clients, orders::Orders};
use trackops_lambda::{Error, batch, config::env, telemetry};
use trackops_orders::note_outcome;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start()?;
    let config = clients::config()?;
    let orders = Orders::new(Table::connect(&config, env("ORDERS_TABLE")?).await);
    batch::consume_events(&config, |event| note_outcome::handle(&orders, event)).await
}
