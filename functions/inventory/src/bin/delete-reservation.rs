use trackops_aws::{aggregate::Table, clients, inventory::Inventory};
use trackops_inventory::delete_reservation;
use trackops_lambda::{Error, config::env, http, identity::Identity, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start()?;
    let table = Table::connect(&clients::config()?, env("INVENTORY_TABLE")?).await;
    let inventory = Inventory::new(table);
    http::serve_conditional(Identity::from_env()?, |call| {
        delete_reservation::handle(&inventory, call)
    })
    .await
}
