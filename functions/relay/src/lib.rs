//! The event relay: every event that was committed reaches the bus at least once, in order per aggregate.

pub mod bus;
pub mod dead_letters;
pub mod discard_event;
pub mod get_event_stats;
pub mod kafka;
pub mod list_dead_letters;
pub mod list_unprocessed_events;
mod outboxes;
pub mod process_all_events;
pub mod process_event;
pub mod publish;
pub mod redrive_dead_letters;
pub mod relay_events;
pub mod relay_health;
pub mod replay_events;
mod stream;
pub mod sweep_outbox;
mod view;

use aws_types::SdkConfig;
use trackops_aws::aggregate::Table;
use trackops_aws::relay::RelayStore;
use trackops_lambda::config::{ConfigError, env};

pub use outboxes::Outboxes;
pub use publish::Relay;
pub use stream::Stream;

/// The relay's own table, which `RELAY_TABLE` names.
pub fn store(config: &SdkConfig) -> Result<RelayStore, ConfigError> {
    Ok(RelayStore::new(Table::at(config, env("RELAY_TABLE")?)))
}
