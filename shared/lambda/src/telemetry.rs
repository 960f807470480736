//! Logs: one JSON object a line, as CloudWatch Logs Insights reads them.

use std::env;

use tracing_subscriber::filter::LevelFilter;

use crate::config::{ConfigError, env_as};

/// `LOG_LEVEL` is error, warn or info (a release has no more); info when it is not set.
///
/// # Errors
/// When it is set to something else.
pub fn start() -> Result<(), ConfigError> {
    let level = match env::var("LOG_LEVEL") {
        Ok(_) => env_as::<LevelFilter>("LOG_LEVEL")?,
        Err(_) => LevelFilter::INFO,
    };
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_max_level(level)
        .init();
    Ok(())
}
