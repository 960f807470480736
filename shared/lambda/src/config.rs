//! Configuration comes from the environment and is checked once, at the cold start.

use std::env;
use std::str::FromStr;

#[derive(Debug, thiserror::Error)]
#[error("environment variable {name} {problem}; template.yaml sets it")]
pub struct ConfigError {
    name: String,
    problem: String,
}

impl ConfigError {
    pub fn new(name: &str, problem: impl ToString) -> Self {
        Self { name: name.into(), problem: problem.to_string() }
    }
}

/// The variable's value; missing and empty are errors.
pub fn env(name: &str) -> Result<String, ConfigError> {
    match env::var(name) {
        Ok(value) if !value.is_empty() => Ok(value),
        _ => Err(ConfigError::new(name, "is missing")),
    }
}

/// The variable's value; missing and empty are the same.
pub fn optional_env(name: &str) -> Option<String> {
    env(name).ok()
}

/// The variable's value, parsed.
pub fn env_as<T: FromStr>(name: &str) -> Result<T, ConfigError>
where
    T::Err: std::fmt::Display,
{
    env(name)?.parse().map_err(|error| ConfigError::new(name, format!("cannot be used: {error}")))
}
