//! The parts that benchmarks and tests share: an imitation of Lambda and one of AWS.

pub mod backlog;
pub mod lambda;
