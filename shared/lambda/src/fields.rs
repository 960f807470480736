//! Checking input: all that is wrong is said at once.

use std::fmt::Display;
use std::str::FromStr;

use crate::problem::{FieldError, Problem};

/// Errors that an answer lists.
const MAX_ERRORS: usize = 100;

/// Characters of a name that the answer repeats.
const MAX_NAME: usize = 64;

#[derive(Debug, Default)]
pub struct Fields {
    errors: Vec<FieldError>,
    /// There were more than an answer lists.
    more: bool,
}

impl Fields {
    pub fn refuse(&mut self, pointer: impl Into<String>, detail: impl Display) {
        if self.errors.len() == MAX_ERRORS {
            self.more = true;
            return;
        }
        self.errors.push(FieldError { pointer: pointer.into(), detail: detail.to_string() });
    }

    /// As much of a name that the caller made up as an answer repeats.
    pub fn excerpt(name: &str) -> String {
        name.chars().take(MAX_NAME).collect()
    }

    /// Notes the error and goes on.
    pub fn parse<T: FromStr>(&mut self, pointer: &str, text: &str) -> Option<T>
    where
        T::Err: Display,
    {
        text.parse().map_err(|error| self.refuse(pointer, error)).ok()
    }

    pub fn range(&mut self, pointer: &str, number: u32, min: u32, max: u32) {
        if !(min..=max).contains(&number) {
            self.refuse(pointer, format!("must be from {min} to {max}"));
        }
    }

    pub fn finish(self) -> Result<(), Problem> {
        if self.errors.is_empty() {
            return Ok(());
        }
        let problem = Problem::invalid(self.errors);
        Err(match self.more {
            true => problem.detail(format!("Only the first {MAX_ERRORS} errors are listed.")),
            false => problem,
        })
    }
}
