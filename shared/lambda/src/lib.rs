//! What every Lambda shares: start-up, configuration, identity, problems, saga tasks and batches.

pub mod batch;
pub mod config;
pub mod cors;
pub mod cursor;
pub mod error;
pub mod fields;
pub mod health;
pub mod http;
pub mod idempotency;
pub mod identity;
pub mod input;
pub mod preconditions;
pub mod problem;
pub mod quantities;
pub mod recovery;
pub mod task;
pub mod telemetry;

pub use lambda_runtime::Error;
