//! Progress: what is being done and how long it took. It goes to stderr, because stdout is for results.

use std::future::Future;
use std::time::{Duration, Instant};

use crate::note;

/// A long step that says when it starts and when it is done.
pub struct Step {
    started: Instant,
}

impl Step {
    pub fn start(what: &str) -> Self {
        note!("{what} ...");
        Self { started: Instant::now() }
    }

    /// Runs work that is silent by itself, with a sign of life every few seconds.
    pub async fn ticking<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = tokio::time::sleep(Duration::from_secs(5)) => self.note("still at it"),
            }
        }
    }

    pub fn note(&self, text: &str) {
        note!("    {text} ({} s)", self.started.elapsed().as_secs());
    }

    pub fn done(self, result: &str) {
        note!("    {result} ({:.1} s)", self.started.elapsed().as_secs_f32());
    }
}
