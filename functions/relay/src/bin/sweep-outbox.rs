use trackops_aws::clients;
use trackops_lambda::{Error, task, telemetry};
use trackops_relay::{bus::EventBus, sweep_outbox};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start()?;
    let config = clients::config()?;
    let tables = trackops_relay::tables(&config)?;
    let bus = EventBus::connect(&config, None).await?;
    task::run(|input| sweep_outbox::handle(&bus, &tables, input)).await
}
