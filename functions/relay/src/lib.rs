//! The event relay: everything that is committed reaches the bus at least once, in order per aggregate.

pub mod bus;
pub mod kafka;
pub mod publish;
pub mod relay_events;
pub mod relay_health;
pub mod sweep_outbox;

use aws_types::SdkConfig;
use trackops_aws::aggregate::Table;
use trackops_lambda::config::{ConfigError, env};

/// The tables that `TABLES` names, with commas between: orders, inventory, payments.
pub fn tables(config: &SdkConfig) -> Result<Vec<Table>, ConfigError> {
    Ok(env("TABLES")?.split(',').map(|name| Table::at(config, name.to_owned())).collect())
}
