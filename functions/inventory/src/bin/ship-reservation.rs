use trackops_aws::{aggregate::Table, clients, inventory::Inventory};
use trackops_inventory::ship_reservation;
use trackops_lambda::{Error, batch, config::env, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start()?;
    let config = clients::config()?;
    let inventory = Inventory::new(Table::connect(&config, env("INVENTORY_TABLE")?).await);
    batch::consume_events(&config, |event| ship_reservation::handle(&inventory, event)).await
}
