//! The logs of the functions, from CloudWatch Logs of the local cloud.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::format_description;

use crate::clients::Aws;
use crate::instance::{Instance, STACK};
use crate::say;

/// Prints the lines of one function, or of all of them, oldest first; `follow` goes on until it is interrupted.
///
/// # Errors
/// When there is no such function: the message names the functions that exist.
pub async fn logs(instance: &Instance, function: Option<&str>, follow: bool) -> Result<()> {
    let aws = Aws::at(&instance.expect_running()?.endpoints.endpoint);
    let mut printed = HashSet::<String>::new();
    let mut from = 0;
    loop {
        // Asked again each time: a function has no log before it first ran.
        let groups = groups(&aws, function, follow).await?;
        let mut events = Vec::new();
        for (name, group) in groups {
            for event in events_of(&aws, &group, from).await? {
                events.push((event["timestamp"].as_i64().unwrap_or_default(), name.clone(), event));
            }
        }
        events.sort_by_key(|(at, ..)| *at);
        let mut seen = HashSet::new();
        for (at, name, event) in events {
            let identity = format!("{name} {event}");
            if !printed.contains(&identity) {
                let message = event["message"].as_str().unwrap_or_default().trim_end();
                say!("{} {name:18} {message}", clock(at))?;
            }
            seen.insert(identity);
            // Lines may arrive a little late.
            from = from.max(at - 2_000);
        }
        printed = seen;
        if !follow {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// The log groups asked for, by function name.
async fn groups(
    aws: &Aws,
    function: Option<&str>,
    may_come: bool,
) -> Result<Vec<(String, String)>> {
    let prefix = format!("/aws/lambda/{STACK}-");
    let input = json!({"logGroupNamePrefix": prefix});
    let all: Vec<(String, String)> = pages(aws, "DescribeLogGroups", input, "logGroups")
        .await?
        .iter()
        .filter_map(|group| group["logGroupName"].as_str())
        .map(|group| (group[prefix.len()..].to_owned(), group.to_owned()))
        .collect();
    let Some(function) = function else {
        return Ok(all);
    };
    let names = all.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
    let found: Vec<_> = all.iter().filter(|(name, _)| name == function).cloned().collect();
    if found.is_empty() && !may_come {
        bail!("{function} has logged nothing; there are logs of: {names}");
    }
    Ok(found)
}

async fn events_of(aws: &Aws, group: &str, from: i64) -> Result<Vec<Value>> {
    pages(aws, "FilterLogEvents", json!({"logGroupName": group, "startTime": from}), "events").await
}

async fn pages(aws: &Aws, operation: &str, mut input: Value, field: &str) -> Result<Vec<Value>> {
    let mut all = Vec::new();
    loop {
        let mut page = aws.call("logs", &format!("Logs_20140328.{operation}"), &input).await?;
        if let Value::Array(found) = page[field].take() {
            all.extend(found);
        }
        match page["nextToken"].take() {
            Value::Null => return Ok(all),
            token => input["nextToken"] = token,
        }
    }
}

/// The time of day, UTC, of milliseconds since 1970.
fn clock(millis: i64) -> String {
    let format = format_description!("[hour]:[minute]:[second].[subsecond digits:3]");
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000)
        .ok()
        .and_then(|at| at.format(format).ok())
        .unwrap_or_else(|| millis.to_string())
}

#[cfg(test)]
mod tests {
    #[test]
    fn lines_carry_the_time_of_day_with_milliseconds() {
        assert_eq!(super::clock(1_000_000_000_007), "01:46:40.007");
    }
}
