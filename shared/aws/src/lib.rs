//! TrackOps on AWS: clients, DynamoDB stores with the outbox inside the aggregate, and the event bus.

pub mod aggregate;
pub mod bus;
#[cfg(test)]
mod canned;
pub mod catalogue;
pub mod clients;
pub mod due;
pub mod error;
mod histories;
pub mod inventory;
pub mod inventory_list;
pub mod notices;
pub mod once;
pub mod order_list;
pub mod orders;
pub mod outbox;
mod outcomes;
pub mod payments;
pub mod queue;
pub mod relay;
pub mod retry;
pub mod secrets;
mod stock_totals;
pub mod stored;
mod transact;
pub mod waiting;

pub use error::StoreError;
