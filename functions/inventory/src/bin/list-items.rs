use trackops_aws::{aggregate::Table, clients, inventory::Inventory};
use trackops_inventory::list_items;
use trackops_lambda::{Error, config::env, cursor::Cursors, http, identity::Identity, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start()?;
    let config = clients::config()?;
    let inventory = Inventory::new(Table::connect(&config, env("INVENTORY_TABLE")?).await);
    let cursors = Cursors::connect(&config, env("CURSOR_SECRET_ARN")?).await;
    http::serve_list(Identity::from_env()?, |call| list_items::handle(&inventory, &cursors, call))
        .await
}
