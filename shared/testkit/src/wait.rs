//! Waiting for something to become true, with a deadline and a word on what was missing.

use std::time::{Duration, Instant};

/// Long enough for an order on two busy cores, short enough that a broken promise is told the same minute.
const PATIENCE: Duration = Duration::from_secs(90);

/// Asks `probe` until it answers `Ok`; panics with what it waited for and what it last saw instead.
pub async fn eventually<T>(what: &str, probe: impl AsyncFnMut() -> Result<T, String>) -> T {
    eventually_within(PATIENCE, what, probe).await
}

/// [`eventually`] for what is known to take longer, or must not take as long.
pub async fn eventually_within<T>(
    patience: Duration,
    what: &str,
    mut probe: impl AsyncFnMut() -> Result<T, String>,
) -> T {
    let started = Instant::now();
    let mut pause = Duration::from_millis(100);
    loop {
        match probe().await {
            Ok(seen) => return seen,
            Err(seen) if started.elapsed() > patience => {
                panic!("waited {} s for {what}; last saw: {seen}", patience.as_secs())
            }
            Err(_) => tokio::time::sleep(pause).await,
        }
        // Probes cost the cloud under test: ask ever less often, down to once a second.
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}
