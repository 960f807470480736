use lambda_runtime::{LambdaEvent, service_fn};
use trackops_aws::{aggregate::Table, clients};
use trackops_lambda::{Error, config::env, telemetry};
use trackops_relay::relay_events::{self, Repetitions};
use trackops_relay::{Relay, Stream};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start()?;
    let config = clients::config()?;
    let table = Table::connect(&config, env("TABLE")?).await;
    let relay = Relay::connect(&config, Some(&env("EVENT_SOURCE")?)).await?;
    let repetitions = Repetitions::begin();
    let relay = |event: LambdaEvent<Stream>| async {
        Ok::<_, Error>(relay_events::handle(&relay, &table, &repetitions, event.payload).await)
    };
    lambda_runtime::run(service_fn(relay)).await
}
