use trackops_aws::{bus::Bus, clients};
use trackops_lambda::{Error, config::env, task, telemetry};
use trackops_relay::sweep_outbox;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start()?;
    let config = clients::config()?;
    let tables = trackops_relay::tables(&config)?;
    let bus = Bus::new(aws_sdk_eventbridge::Client::new(&config), env("EVENT_BUS")?);
    task::run(|input| sweep_outbox::handle(&bus, &tables, input)).await
}
