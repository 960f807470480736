//! Waiting until something becomes true: as long as something changes, and with a message about what was missing.

use std::time::{Duration, Instant};

/// How long the probe may see no change. An order takes seconds on two quiet cores, and a busy machine may take many
/// times longer.
const PATIENCE: Duration = Duration::from_secs(300);

/// How long to wait in all, even if things still change.
const LONGEST: Duration = Duration::from_secs(30 * 60);

/// Asks `probe` until it answers `Ok`. At the deadline it panics and says what it waited for and what it last saw.
pub async fn eventually<T>(what: &str, probe: impl AsyncFnMut() -> Result<T, String>) -> T {
    eventually_within(PATIENCE, what, probe).await
}

/// [`eventually`] with another time limit: it gives up when the probe has seen no change for so long.
pub async fn eventually_within<T>(
    patience: Duration,
    what: &str,
    mut probe: impl AsyncFnMut() -> Result<T, String>,
) -> T {
    let started = Instant::now();
    let mut last = (started, String::new());
    let mut pause = Duration::from_millis(100);
    loop {
        match probe().await {
            Ok(seen) => return seen,
            Err(seen) if seen != last.1 => last = (Instant::now(), seen),
            Err(_) => {}
        }
        let (changed, seen) = &last;
        if changed.elapsed() > patience || started.elapsed() > LONGEST {
            let (waited, still) = (started.elapsed().as_secs(), changed.elapsed().as_secs());
            panic!("waited {waited} s for {what}; saw for the last {still} s: {seen}");
        }
        tokio::time::sleep(pause).await;
        // Probes cost the cloud under test: ask ever less often, down to once a second.
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shorter than the pauses between probes.
    const SHORT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn what_moves_is_waited_for_past_any_patience() {
        let mut steps = 0;
        let seen = eventually_within(SHORT, "four steps", async || {
            steps += 1;
            if steps == 4 { Ok(steps) } else { Err(steps.to_string()) }
        });
        assert_eq!(seen.await, 4);
    }

    #[tokio::test]
    #[should_panic(expected = "for a step; saw for the last 0 s: none")]
    async fn what_does_not_move_is_given_up() {
        eventually_within(SHORT, "a step", async || Err::<(), _>("none".to_owned())).await;
    }
}
