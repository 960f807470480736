//! What whole-system tests share: TrackOps on a local cloud, callers, faults, and the check that the books balance.

mod api;
mod books;
mod contract;
mod events;
mod faults;
mod like;
mod system;
mod wait;
mod webhook;
mod world;

pub use api::{Answer, Basket, Caller, Item, Order};
pub use books::{Account, Books, Charge};
pub use contract::{Document, Operation};
pub use events::{EventTap, SeenEvent};
pub use faults::{Fault, FaultGuard};
pub use like::like;
pub use system::{CORS_ORIGIN, System, aws_at, build, workspace_root};
pub use wait::{eventually, eventually_within};
pub use webhook::{WebhookSecret, unix_now};
pub use world::{World, unique};
