use trackops_aws::{aggregate::Table, clients, payments::Payments};
use trackops_lambda::{Error, config::env, task, telemetry};
use trackops_payments::{refund_payment, simulated::Simulated};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start()?;
    let config = clients::config()?;
    let payments = Payments::new(Table::connect(&config, env("PAYMENTS_TABLE")?).await);
    let provider = Simulated::from_env(&config)?;
    task::run(|input| refund_payment::handle(&payments, &provider, input)).await
}
