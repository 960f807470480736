use trackops_aws::{bus::Bus, clients};
use trackops_lambda::{Error, config::env, http, telemetry};
use trackops_relay::{Outboxes, relay_health};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start()?;
    let config = clients::config()?;
    let outboxes = Outboxes::from_env(&config)?;
    let bus = Bus::new(aws_sdk_eventbridge::Client::new(&config), env("EVENT_BUS")?);
    http::serve_public(|_, _| relay_health::handle(&bus, outboxes.all())).await
}
