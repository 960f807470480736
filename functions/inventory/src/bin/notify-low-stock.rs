use trackops_aws::{aggregate::Table, clients, notices::Notices};
use trackops_inventory::notify_low_stock::{self, LowStock};
use trackops_lambda::{Error, batch, config::env, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start()?;
    let config = clients::config()?;
    let notices = Notices::new(Table::connect(&config, env("INVENTORY_TABLE")?).await);
    let sns = aws_sdk_sns::Client::new(&config);
    let low_stock = LowStock::new(notices, sns, env("LOW_STOCK_TOPIC")?);
    batch::consume_events(&config, |event| notify_low_stock::handle(&low_stock, event)).await
}
