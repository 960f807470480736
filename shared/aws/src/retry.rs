//! Waiting between tries: exponential backoff with full jitter.
//! Source: "Exponential Backoff and Jitter", AWS Architecture Blog, 2015.

use std::time::Duration;

const BASE: Duration = Duration::from_millis(8);
const CAP: Duration = Duration::from_millis(400);

/// Tries before a step gives up as busy and leaves the next try to its caller. Waiting takes some 2.5 s at most.
pub const TRIES: u32 = 12;

/// Waits a random time that grows with `attempt` (0 is the first).
pub async fn back_off(attempt: u32) {
    let ceiling = BASE.saturating_mul(2_u32.saturating_pow(attempt.min(16))).min(CAP);
    let micros = u64::try_from(ceiling.as_micros()).unwrap_or(u64::MAX);
    tokio::time::sleep(Duration::from_micros(fastrand::u64(0..=micros))).await;
}
