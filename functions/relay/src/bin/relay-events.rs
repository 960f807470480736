use aws_lambda_events::event::dynamodb::Event;
use lambda_runtime::{LambdaEvent, service_fn};
use trackops_aws::{aggregate::Table, clients};
use trackops_lambda::{Error, config::env, telemetry};
use trackops_relay::{bus::EventBus, relay_events};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start()?;
    let config = clients::config()?;
    let table = Table::connect(&config, env("TABLE")?).await?;
    let bus = EventBus::connect(&config, Some(&env("EVENT_SOURCE")?)).await?;
    let relay = |event: LambdaEvent<Event>| async {
        Ok::<_, Error>(relay_events::handle(&bus, &table, event.payload).await)
    };
    lambda_runtime::run(service_fn(relay)).await
}
