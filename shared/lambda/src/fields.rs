//! Checking input: one answer names everything that is wrong.

use std::convert::Infallible;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use trackops_domain::id::BadId;
use trackops_domain::money::BadMoney;
use trackops_domain::order::BadStatus;
use trackops_domain::reservation::BadState;
use trackops_domain::timestamp::BadTimestamp;

use crate::problem::{FieldError, Problem};

/// How many errors an answer lists at most.
const MAX_ERRORS: usize = 100;

/// How many characters of an unknown name the answer repeats.
const MAX_NAME: usize = 64;

pub(crate) const NO_BOOLEAN: &str = "must be true or false";

pub(crate) fn not_within<T: Display>(range: &RangeInclusive<T>) -> String {
    format!("must be a whole number from {} to {}", range.start(), range.end())
}

/// What to change, in our own words. Errors of libraries do not have this type, so their messages never reach a caller.
pub trait Advice: Display {}

impl Advice for BadId {}
impl Advice for BadMoney {}
impl Advice for BadState {}
impl Advice for BadStatus {}
impl Advice for BadTimestamp {}
/// For a parser that takes any text.
impl Advice for Infallible {}

#[derive(Debug, Default)]
pub struct Fields {
    errors: Vec<FieldError>,
    /// There were more errors than an answer lists.
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

    /// The part of an unknown name that an answer repeats.
    pub fn excerpt(name: &str) -> String {
        name.chars().take(MAX_NAME).collect()
    }

    /// Notes the error and goes on.
    pub fn parse<T: FromStr>(&mut self, pointer: &str, text: &str) -> Option<T>
    where
        T::Err: Advice,
    {
        text.parse().map_err(|error| self.refuse(pointer, error)).ok()
    }

    pub fn whole_number(
        &mut self,
        pointer: &str,
        text: &str,
        range: RangeInclusive<u32>,
    ) -> Option<u32> {
        let plain = text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|number| plain && range.contains(number));
        if number.is_none() {
            self.refuse(pointer, not_within(&range));
        }
        number
    }

    pub fn boolean(&mut self, pointer: &str, text: &str) -> Option<bool> {
        match text {
            "true" => Some(true),
            "false" => Some(false),
            _ => {
                self.refuse(pointer, NO_BOOLEAN);
                None
            }
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
