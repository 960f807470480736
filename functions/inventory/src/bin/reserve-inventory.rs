use trackops_aws::{aggregate::Table, clients, inventory::Inventory};
use trackops_inventory::reserve_inventory;
use trackops_lambda::{Error, config::env, task, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start()?;
    let table = Table::connect(&clients::config()?, env("INVENTORY_TABLE")?).await;
    let inventory = Inventory::new(table);
    task::run(|input| reserve_inventory::handle(&inventory, input)).await
}
