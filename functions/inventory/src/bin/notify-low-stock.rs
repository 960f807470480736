use trackops_aws::clients;
use trackops_inventory::notify_low_stock::{self, LowStock};
use trackops_lambda::{Error, batch, config::env, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start()?;
    let config = clients::config()?;
    let low_stock = LowStock::new(aws_sdk_sns::Client::new(&config), env("LOW_STOCK_TOPIC")?);
    batch::consume_events(&config, |event| notify_low_stock::handle(&low_stock, event)).await
}
