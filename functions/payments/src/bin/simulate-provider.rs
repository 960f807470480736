use trackops_aws::{clients, secrets::SecretSource};
use trackops_lambda::{Error, batch, config::env, telemetry};
use trackops_payments::simulate_provider::{self, Webhook};
use trackops_payments::simulated::Simulated;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start()?;
    let config = clients::config()?;
    let simulated = Simulated::from_env(&config)?;
    let secret = SecretSource::connect(&config, env("WEBHOOK_SECRET_ARN")?).await;
    let webhook = Webhook::new(env("WEBHOOK_URL")?, secret)?;
    batch::consume(|later| simulate_provider::handle(&simulated, &webhook, later)).await
}
