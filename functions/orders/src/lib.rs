//! The orders service: placing and cancelling orders, and the saga that carries them.

pub mod abandon_order;
mod actor;
pub mod await_payment;
pub mod cancel_order;
mod change;
pub mod close_order;
pub mod confirm_order;
pub mod create_order;
pub mod get_order;
pub mod get_order_items;
pub mod get_order_timeline;
pub mod get_saga;
pub mod list_orders;
pub mod note_outcome;
pub mod orders_health;
mod outcome_view;
mod products;
mod progress;
pub mod project_catalogue;
mod recent;
pub mod recover_sagas;
pub mod retry_saga;
mod saga;
mod saga_view;
pub mod start_saga;
pub mod update_order_status;
mod view;

pub use products::Products;
pub use saga::Sagas;
