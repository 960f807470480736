//! `cargo local`: TrackOps on a local cloud, from the same `template.yaml` that AWS gets.
//!
//! The command line is the interface for tests too (`up --detach --json --while-pid <pid>`); [`token`] signs tokens for
//! them without starting a process for each token.

pub mod clients;
pub mod cloud;
pub mod demo;
pub mod env;
pub mod functions;
pub mod guard;
pub mod http;
pub mod instance;
pub mod issuer;
pub mod kafka;
pub mod keeper;
pub mod logs;
pub mod output;
pub mod ports;
pub mod progress;
pub mod proxy;
pub mod python;
pub mod seed;
pub mod stack;
pub mod status;
pub mod template;
pub mod token;
pub mod topics;
pub mod up;
