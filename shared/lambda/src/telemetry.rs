//! Logs: one JSON object a line, as CloudWatch Logs Insights reads them.

use std::env;

use tracing::{Span, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{ConfigError, env_as};

/// `LOG_LEVEL` is error, warn or info (a release build has no other levels); info when it is not set.
///
/// # Errors
/// When it is set to something else.
pub fn start() -> Result<(), ConfigError> {
    let level = match env::var("LOG_LEVEL") {
        Ok(_) => env_as::<LevelFilter>("LOG_LEVEL")?,
        Err(_) => LevelFilter::INFO,
    };
    json(level, std::io::stdout).init();
    Ok(())
}

/// Every line that is logged within this span has the correlation id, as `span.correlation_id`.
pub fn journey(correlation_id: &str) -> Span {
    tracing::info_span!("journey", correlation_id)
}

fn json<W>(level: LevelFilter, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_span_list(false)
        .with_max_level(level)
        .with_writer(writer)
        .finish()
}

#[cfg(test)]
pub(crate) mod logged {
    use std::io;
    use std::process::Command;
    use std::sync::{Arc, Mutex};

    use serde_json::Value;
    use tracing::subscriber::DefaultGuard;

    use super::*;

    /// Tells a process which test it was started for.
    const ALONE: &str = "TRACKOPS_TEST_ALONE";

    /// What a test logs.
    #[derive(Clone, Default)]
    pub struct Log(Arc<Mutex<Vec<u8>>>);

    impl Log {
        /// Runs `test`, which is the caller, alone in a new process. In that process it returns what is logged from now
        /// on; here it returns `None`, and the test has passed.
        ///
        /// `tracing` remembers for each place in the code whether anybody listens to it. While there is only one
        /// listener, it asks the thread that comes to the place first. A thread of another test has no listener, so it
        /// would silence the place for this test.
        pub fn alone(test: &str) -> Option<(Self, DefaultGuard)> {
            if env::var(ALONE).as_deref() == Ok(test) {
                return Some(Self::start());
            }
            let mut process = Command::new(env::current_exe().unwrap());
            let process = process.args([test, "--exact", "--test-threads=1"]).env(ALONE, test);
            let run = process.output().unwrap();
            let said = [run.stdout, run.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
            let passed = run.status.success() && said[0].contains("test result: ok. 1 passed");
            assert!(passed, "{test}, alone in a process: {}", said.concat());
            None
        }

        fn start() -> (Self, DefaultGuard) {
            let log = Self::default();
            let writer = log.clone();
            let subscriber = json(LevelFilter::INFO, move || writer.clone());
            (log, tracing::subscriber::set_default(subscriber))
        }

        pub fn lines(&self) -> Vec<Value> {
            let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        }
    }

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}
