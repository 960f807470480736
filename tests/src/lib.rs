//! What benchmarks and tests share: a Lambda and an AWS that they play themselves.

pub mod backlog;
pub mod lambda;
