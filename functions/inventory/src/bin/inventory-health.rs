use trackops_aws::{aggregate::Table, clients, inventory::Inventory};
use trackops_inventory::inventory_health;
use trackops_lambda::{Error, config::env, http, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start()?;
    // Not connected yet: if a table is down, the answer must say so.
    let inventory = Inventory::new(Table::at(&clients::config()?, env("INVENTORY_TABLE")?));
    http::serve_public(|_, _| inventory_health::handle(&inventory)).await
}
