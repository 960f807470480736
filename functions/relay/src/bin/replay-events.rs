use trackops_aws::aggregate::Table;
use trackops_aws::{clients, inventory::Inventory, orders::Orders, payments::Payments};
use trackops_lambda::{Error, config::env, cursor::Cursors, http, identity::Identity, telemetry};
use trackops_relay::bus::EventBus;
use trackops_relay::replay_events::{self, Histories};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start()?;
    let config = clients::config()?;
    let table = |name| Ok::<_, Error>(Table::at(&config, env(name)?));
    let histories = Histories {
        orders: Orders::new(table("ORDERS_TABLE")?),
        inventory: Inventory::new(table("INVENTORY_TABLE")?),
        payments: Payments::new(table("PAYMENTS_TABLE")?),
    };
    let cursors = Cursors::connect(&config, env("CURSOR_SECRET_ARN")?).await;
    let bus = EventBus::connect(&config, None).await?;
    let replay = |call| replay_events::handle(&bus, &histories, &cursors, call);
    http::serve(Identity::from_env()?, replay).await
}
