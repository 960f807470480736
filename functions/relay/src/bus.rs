//! The bus that the environment names: EventBridge or Kafka.

use aws_sdk_eventbridge::Client;
use aws_types::SdkConfig;
use trackops_aws::bus::{Bus, Refusal};
use trackops_aws::outbox::OutboxEntry;
use trackops_domain::event::EventType;
use trackops_lambda::Error;
use trackops_lambda::config::env;
use trackops_lambda::error::chain;

use crate::kafka::{Kafka, Settings};
use crate::publish::Publisher;

pub enum EventBus {
    EventBridge(Bus),
    Kafka(Kafka),
}

impl EventBus {
    /// Kafka, connected if it can be now, when `KAFKA_BOOTSTRAP_SERVERS` is set; else EventBridge's bus `EVENT_BUS`. On Kafka the
    /// connections that events of `source`, such as `trackops.orders`, need are opened too.
    pub async fn connect(config: &SdkConfig, source: Option<&str>) -> Result<Self, Error> {
        let Some(settings) = Settings::from_env(config).await? else {
            return Ok(Self::EventBridge(Bus::new(Client::new(config), env("EVENT_BUS")?)));
        };
        let of_source = |kind: &EventType| source.is_none_or(|source| kind.source() == source);
        let topics = EventType::ALL.into_iter().filter(of_source).collect();
        let kafka = Kafka::new(settings, topics);
        let warm = match source {
            Some(_) => kafka.warm_up().await,
            None => kafka.connect().await,
        };
        // If it cannot connect now, it connects when it publishes. Events that are refused until then are published
        // later.
        if let Err(error) = warm {
            tracing::warn!(error = chain(&error), "Kafka is not connected yet");
        }
        Ok(Self::Kafka(kafka))
    }
}

impl Publisher for EventBus {
    fn kind(&self) -> &'static str {
        match self {
            Self::EventBridge(_) => "eventbridge",
            Self::Kafka(kafka) => kafka.kind(),
        }
    }

    async fn publish(&self, events: &[&OutboxEntry]) -> Vec<Result<(), Refusal>> {
        match self {
            Self::EventBridge(bus) => bus.publish(events).await,
            Self::Kafka(kafka) => kafka.publish(events).await,
        }
    }
}
