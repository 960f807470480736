//! The edge of the APIs: what is answered where no endpoint answers.

pub mod edge_fallback;
