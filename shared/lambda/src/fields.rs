//! Checking input: all that is wrong is said at once.

use std::fmt::Display;
use std::str::FromStr;

use crate::problem::{FieldError, Problem};

#[derive(Debug, Default)]
pub struct Fields {
    errors: Vec<FieldError>,
}

impl Fields {
    pub fn refuse(&mut self, pointer: impl Into<String>, detail: impl Display) {
        self.errors.push(FieldError { pointer: pointer.into(), detail: detail.to_string() });
    }

    /// Notes the error and goes on.
    pub fn check<T, E: Display>(&mut self, pointer: &str, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.refuse(pointer, error)).ok()
    }

    pub fn parse<T: FromStr>(&mut self, pointer: &str, text: &str) -> Option<T>
    where
        T::Err: Display,
    {
        self.check(pointer, text.parse())
    }

    /// Text of 1 to `max` characters with no control characters in it (line breaks are fine).
    pub fn text(&mut self, pointer: &str, text: &str, max: usize) {
        let count = text.chars().count();
        let control = text.chars().any(|c| c.is_control() && c != '\n' && c != '\r');
        if text.trim().is_empty() || count > max {
            self.refuse(pointer, format!("must have 1 to {max} characters"));
        } else if control {
            self.refuse(pointer, "must not have control characters");
        }
    }

    pub fn optional_text(&mut self, pointer: &str, text: Option<&String>, max: usize) {
        if let Some(text) = text {
            self.text(pointer, text, max);
        }
    }

    pub fn range(&mut self, pointer: &str, number: u32, min: u32, max: u32) {
        if !(min..=max).contains(&number) {
            self.refuse(pointer, format!("must be from {min} to {max}"));
        }
    }

    pub fn finish(self) -> Result<(), Problem> {
        if self.errors.is_empty() { Ok(()) } else { Err(Problem::invalid(self.errors)) }
    }
}
