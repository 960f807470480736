//! UTC time in whole milliseconds, written as RFC 3339 of one fixed width, so text order is time order.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(
        description = "RFC 3339, UTC, milliseconds.",
        extend(
            "format" = "date-time",
            "pattern" = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$"
        )
    )
)]
#[serde(into = "String", try_from = "String")]
pub struct Timestamp(i64);

#[derive(Debug, thiserror::Error)]
#[error("must be an RFC 3339 time from 1970 on, such as 2026-01-31T09:00:00Z")]
pub struct BadTimestamp;

/// 9999-12-31T23:59:59.999Z: past it RFC 3339 has no year.
const LAST: i64 = 253_402_300_799_999;

impl Timestamp {
    pub fn now() -> Self {
        let since_epoch = OffsetDateTime::now_utc() - OffsetDateTime::UNIX_EPOCH;
        Self::from_millis(i64::try_from(since_epoch.whole_milliseconds()).unwrap_or(LAST))
    }

    /// Years 1970 to 9999; anything outside is held to the nearest of the two.
    pub const fn from_millis(millis: i64) -> Self {
        if millis < 0 {
            Self(0)
        } else if millis > LAST {
            Self(LAST)
        } else {
            Self(millis)
        }
    }

    pub const fn millis(self) -> i64 {
        self.0
    }

    pub const fn unix_seconds(self) -> i64 {
        self.0 / 1000
    }

    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(LAST);
        Self::from_millis(self.0.saturating_add(millis))
    }

    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(LAST);
        Self::from_millis(self.0.saturating_sub(millis))
    }

    /// Zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0 - earlier.0).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = OffsetDateTime::from_unix_timestamp(self.0 / 1000).map_err(|_| fmt::Error)?;
        let (date, time) = (at.date(), at.time());
        let (hour, minute, second) = time.as_hms();
        write!(
            f,
            "{:04}-{:02}-{:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z",
            date.year(),
            u8::from(date.month()),
            date.day(),
            self.0 % 1000
        )
    }
}

impl FromStr for Timestamp {
    type Err = BadTimestamp;

    fn from_str(text: &str) -> Result<Self, BadTimestamp> {
        let at = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| BadTimestamp)?;
        let millis = (at - OffsetDateTime::UNIX_EPOCH).whole_milliseconds();
        match i64::try_from(millis) {
            Ok(millis) if (0..=LAST).contains(&millis) => Ok(Self(millis)),
            _ => Err(BadTimestamp),
        }
    }
}

impl From<Timestamp> for String {
    fn from(at: Timestamp) -> Self {
        at.to_string()
    }
}

impl TryFrom<String> for Timestamp {
    type Error = BadTimestamp;

    fn try_from(text: String) -> Result<Self, BadTimestamp> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_back_and_sorts_as_time(a in 0..=LAST, b in 0..=LAST) {
            let (a, b) = (Timestamp(a), Timestamp(b));
            prop_assert_eq!(a.to_string().parse::<Timestamp>().unwrap(), a);
            prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
        }
    }
}
