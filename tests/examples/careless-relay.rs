//! The relay, but it ignores the bus's answers: every event counts as published. The tests of delivery must notice
//! this.

use lambda_runtime::{Error, LambdaEvent, service_fn};
use trackops_aws::aggregate::Table;
use trackops_aws::bus::Refusal;
use trackops_aws::clients;
use trackops_aws::outbox::OutboxEntry;
use trackops_lambda::config::env;
use trackops_relay::bus::EventBus;
use trackops_relay::publish::Publisher;
use trackops_relay::relay_events::{self, Repetitions};
use trackops_relay::{Relay, Stream, store};

struct Careless(EventBus);

impl Publisher for Careless {
    fn kind(&self) -> &'static str {
        self.0.kind()
    }

    async fn publish(&self, events: &[&OutboxEntry]) -> Vec<Result<(), Refusal>> {
        self.0.publish(events).await;
        vec![Ok(()); events.len()]
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let config = clients::config()?;
    let table = Table::connect(&config, env("TABLE")?).await;
    let bus = Careless(EventBus::connect(&config, Some(&env("EVENT_SOURCE")?)).await?);
    let relay = Relay { bus, store: store(&config)? };
    let repetitions = Repetitions::begin();
    let relay = |event: LambdaEvent<Stream>| async {
        Ok::<_, Error>(relay_events::handle(&relay, &table, &repetitions, event.payload).await)
    };
    lambda_runtime::run(service_fn(relay)).await
}
