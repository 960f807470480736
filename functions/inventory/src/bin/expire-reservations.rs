use trackops_aws::{aggregate::Table, clients, inventory::Inventory};
use trackops_inventory::expire_reservations;
use trackops_lambda::{Error, config::env, task, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start()?;
    let table = Table::connect(&clients::config()?, env("INVENTORY_TABLE")?).await;
    let inventory = Inventory::new(table);
    task::run(|input| expire_reservations::handle(&inventory, input)).await
}
