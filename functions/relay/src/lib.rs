//! The event relay: everything that is committed reaches the bus at least once, in order per aggregate.

mod outboxes;
pub mod publish;
pub mod relay_events;
pub mod relay_health;
pub mod sweep_outbox;

pub use outboxes::Outboxes;
pub use publish::Relay;
