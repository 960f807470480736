//! The edge of the APIs: the answers to requests that no endpoint takes.

pub mod edge_fallback;
