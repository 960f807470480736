use trackops_aws::{aggregate::Table, clients, inventory::Inventory};
use trackops_inventory::get_item;
use trackops_lambda::{Error, config::env, http, identity::Identity, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start()?;
    let table = Table::connect(&clients::config()?, env("INVENTORY_TABLE")?).await;
    let inventory = Inventory::new(table);
    let over_http = |call| get_item::handle(&inventory, call);
    let direct = |question| get_item::tell(&inventory, question);
    http::serve_also_direct(Identity::from_env()?, over_http, direct).await
}
