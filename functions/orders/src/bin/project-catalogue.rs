use trackops_aws::{aggregate::Table, catalogue::Catalogue, clients};
use trackops_lambda::{Error, batch, config::env, telemetry};
use trackops_orders::project_catalogue;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start()?;
    let config = clients::config()?;
    let catalogue = Catalogue::new(Table::connect(&config, env("ORDERS_TABLE")?).await);
    batch::consume_events(&config, |event| project_catalogue::handle(&catalogue, event)).await
}
