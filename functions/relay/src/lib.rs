//! The event relay: everything that is committed reaches the bus at least once, in order per aggregate.

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
pub mod sweep_outbox;
mod view;

pub use outboxes::Outboxes;
pub use publish::Relay;
