use trackops_aws::{aggregate::Table, clients, inventory::Inventory};
use trackops_inventory::ship_reservation;
use trackops_lambda::{Error, batch, config::env, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start()?;
    let table = Table::connect(&clients::config()?, env("INVENTORY_TABLE")?).await?;
    let inventory = Inventory::new(table);
    batch::consume_events(|event| ship_reservation::handle(&inventory, event)).await
}
