//! The stores keep their promises in a real DynamoDB, even when others write at the same time.
//!
//! The suite runs against a local cloud that it starts for itself, or against whatever DynamoDB
//! `TRACKOPS_DYNAMODB_ENDPOINT` names; CI names AWS's DynamoDB Local.

// clippy.toml allows this in tests, but it cannot know that this whole file is tests and helpers.
#![allow(clippy::unwrap_used)]

mod aggregates;
mod catalogue;
mod dynamodb;
mod given;
mod inventory;
mod newer_versions;
mod orders;
mod outbox;
mod outcomes;
mod payments;
mod relay;
mod waiting;
