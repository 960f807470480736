//! The promises of TrackOps, tested through HTTP on one local cloud that all these tests share.

mod documents;
mod edge;
mod endpoints;
mod events_api;
mod failures;
mod journeys;
mod lists;
mod newer_versions;
mod once;
mod order_api;
mod progress;
mod refusals;
mod repetition;
mod reservations;
mod stock;
#[path = "../common/template.rs"]
mod template;
