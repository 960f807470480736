//! `GET /actuator/health` says whether the bus and the outboxes can be reached, part by part; 503 when one cannot.

use std::time::Duration;

use aws_sdk_eventbridge::Client;
use aws_types::SdkConfig;
use futures::future::{join_all, select_ok};
use tokio::net::TcpStream;
use tokio::time::timeout;
use trackops_aws::StoreError;
use trackops_aws::aggregate::Table;
use trackops_aws::bus::Bus;
use trackops_aws::outbox::Page;
use trackops_domain::Timestamp;
use trackops_lambda::config::{ConfigError, env};
use trackops_lambda::health::health;
use trackops_lambda::http::Answer;

use crate::kafka::brokers;

/// The names of the parts in the answer, in the order of `TABLES`.
const SERVICES: [&str; 3] = ["orders", "inventory", "payments"];

const BROKER_ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// How to check the bus without being a client of it.
pub enum Reach {
    EventBridge(Bus),
    /// Checks that one of the brokers accepts connections; only the relay and the sweeper are clients of the brokers.
    Brokers(Vec<String>),
}

impl Reach {
    pub fn from_env(config: &SdkConfig) -> Result<Self, ConfigError> {
        match brokers() {
            Some(brokers) => Ok(Self::Brokers(brokers)),
            None => Ok(Self::EventBridge(Bus::new(Client::new(config), env("EVENT_BUS")?))),
        }
    }

    async fn check(&self) -> Result<(), StoreError> {
        let brokers = match self {
            Self::EventBridge(bus) => return bus.check().await,
            Self::Brokers(brokers) => brokers,
        };
        let one = select_ok(brokers.iter().map(|broker| Box::pin(TcpStream::connect(broker))));
        match timeout(BROKER_ANSWERS_WITHIN, one).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(StoreError::Busy(error.into())),
            Err(silent) => Err(StoreError::Busy(silent.into())),
        }
    }
}

pub async fn handle(bus: &Reach, tables: &[Table]) -> Answer {
    let now = Timestamp::now();
    let outboxes = tables.iter().map(|table| table.unpublished_before(0, now, Page::default()));
    let (bus, outboxes) = (bus.check().await, join_all(outboxes).await);
    let outboxes = outboxes.into_iter().map(|outbox| outbox.map(drop));
    Ok(health([("bus", bus)].into_iter().chain(SERVICES.into_iter().zip(outboxes))))
}
