//! The part of TrackOps that needs no network: ids, money, state machines and events. Pure, no async, no AWS.
//!
//! A state changes only through `state.after(fact)`: `Ok(Some(next))` is a move, `Ok(None)` says the
//! fact was applied before (a redelivery), `Err(IllegalMove)` says the fact cannot be true here.

pub mod card;
pub mod event;
#[cfg(any(test, feature = "examples"))]
pub mod examples;
pub mod id;
pub mod money;
pub mod order;
pub mod outcome;
pub mod payment;
pub mod reservation;
pub mod saga;
pub mod schema;
pub mod stock;
pub mod timestamp;
pub mod totals;

pub use event::{Cause, Event};
pub use id::{CustomerId, OrderId, Sku};
pub use money::Money;
pub use schema::Schema;
pub use timestamp::Timestamp;

/// A fact that cannot be true in the state that it was applied to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} cannot take '{fact}' when {state}")]
pub struct IllegalMove {
    pub what: &'static str,
    pub state: String,
    pub fact: String,
}

impl IllegalMove {
    fn new(what: &'static str, state: impl std::fmt::Debug, fact: impl std::fmt::Debug) -> Self {
        Self { what, state: format!("{state:?}"), fact: format!("{fact:?}") }
    }
}
