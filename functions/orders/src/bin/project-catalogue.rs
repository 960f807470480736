use trackops_aws::{aggregate::Table, catalogue::Catalogue, clients};
use trackops_lambda::{Error, batch, config::env, telemetry};
use trackops_orders::project_catalogue;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start()?;
    let table = Table::connect(&clients::config()?, env("ORDERS_TABLE")?).await?;
    let catalogue = Catalogue::new(table);
    batch::consume_events(|event| project_catalogue::handle(&catalogue, event)).await
}
