use trackops_aws::{aggregate::Table, clients, inventory::Inventory};
use trackops_inventory::delete_item;
use trackops_lambda::{Error, config::env, http, identity::Identity, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start()?;
    let table = Table::connect(&clients::config()?, env("INVENTORY_TABLE")?).await;
    let inventory = Inventory::new(table);
    http::serve_conditional(Identity::from_env()?, |call| delete_item::handle(&inventory, call))
        .await
}
