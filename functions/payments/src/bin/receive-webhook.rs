use trackops_aws::{aggregate::Table, clients, payments::Payments, secrets::SecretSource};
use trackops_lambda::{Error, config::env, http, telemetry};
use trackops_payments::receive_webhook;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start()?;
    let config = clients::config()?;
    let payments = Payments::new(Table::connect(&config, env("PAYMENTS_TABLE")?).await);
    let secret = SecretSource::connect(&config, env("WEBHOOK_SECRET_ARN")?).await;
    let receive = |request, cause| receive_webhook::handle(&payments, &secret, request, cause);
    http::serve_public(receive).await
}
