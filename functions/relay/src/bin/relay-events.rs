use aws_lambda_events::event::dynamodb::Event;
use lambda_runtime::{LambdaEvent, service_fn};
use trackops_aws::{aggregate::Table, bus::Bus, clients};
use trackops_lambda::{Error, config::env, telemetry};
use trackops_relay::relay_events;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start()?;
    let config = clients::config()?;
    let table = Table::connect(&config, env("TABLE")?).await?;
    let bus = Bus::new(aws_sdk_eventbridge::Client::new(&config), env("EVENT_BUS")?);
    let relay = |event: LambdaEvent<Event>| async {
        Ok::<_, Error>(relay_events::handle(&bus, &table, event.payload).await)
    };
    lambda_runtime::run(service_fn(relay)).await
}
