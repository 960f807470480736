use trackops_aws::{aggregate::Table, clients, inventory::Inventory};
use trackops_inventory::get_stock_totals::{self, LastTotals};
use trackops_lambda::{Error, config::env, http, identity::Identity, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start()?;
    let config = clients::config()?;
    let inventory = Inventory::new(Table::connect(&config, env("INVENTORY_TABLE")?).await);
    let last = LastTotals::default();
    http::serve(Identity::from_env()?, |call| get_stock_totals::handle(&inventory, &last, call))
        .await
}
