//! What a run of the saga tells about itself. The steps that write the order store it together with their change.

use serde::Deserialize;
use serde_json::Value;
use trackops_domain::Timestamp;
use trackops_domain::order::{Author, Direction};
use trackops_domain::saga::{Run, SUCCEEDED, Step};

/// Characters of an error's name that are kept: a function that crashes may give a long one.
const MAX_OUTCOME: usize = 64;

/// The input that `Arguments` of the state machine makes.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Progress {
    instance: String,
    direction: Direction,
    started_at: Timestamp,
    /// The last step is the one that gets this input.
    steps: Vec<Taken>,
}

/// The `State` of Step Functions' context object, and the outcome of the step.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Taken {
    name: String,
    entered_time: Timestamp,
    #[serde(default)]
    retry_count: u32,
    /// `None` while the step is under way.
    outcome: Option<String>,
}

/// A step ends when the next one begins. The last step is under way; it ends when it has changed the order.
fn steps(taken: Vec<Taken>) -> Vec<Step> {
    let entered: Vec<_> = taken.iter().map(|taken| taken.entered_time).collect();
    let ends = entered.iter().skip(1).chain(entered.last()).copied();
    let step = |(taken, ended_at): (Taken, Timestamp)| {
        let outcome = taken.outcome.as_deref().unwrap_or(SUCCEEDED);
        Step {
            outcome: outcome.chars().take(MAX_OUTCOME).collect(),
            name: taken.name,
            attempts: taken.retry_count.saturating_add(1),
            started_at: taken.entered_time,
            ended_at,
        }
    };
    taken.into_iter().zip(ends).map(step).collect()
}

/// The run as the author of a change. A part of the input that cannot be read is left out: it must not make the step
/// fail.
pub fn author(told: Option<&Value>) -> Author {
    let read = told.map(Progress::deserialize).transpose();
    let progress = read.unwrap_or_else(|error| {
        tracing::warn!(%error, "what a run tells of itself cannot be read");
        None
    });
    Author::Saga(progress.map(|progress| Run {
        instance: progress.instance,
        direction: progress.direction,
        started_at: progress.started_at,
        steps: steps(progress.steps),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told() -> Value {
        let (first, second) = ("2026-11-25T09:00:00.100Z", "2026-11-25T09:00:02.000Z");
        json!({
            "instance": "019f8c11-run", "direction": "FORWARD", "startedAt": "2026-11-25T09:00:00Z",
            "steps": [
                {"Name": "ReserveInventory", "EnteredTime": first, "RetryCount": 2,
                 "Outcome": "OutOfStock"},
                {"Name": "AbandonOrder", "EnteredTime": second, "RetryCount": 0},
            ],
        })
    }

    fn run(told: &Value) -> Option<Run> {
        match author(Some(told)) {
            Author::Saga(run) => run,
            Author::Caller(caller) => panic!("{caller:?} is no run"),
        }
    }

    #[test]
    fn the_step_that_is_told_comes_last_and_the_ones_before_it_have_their_outcomes() {
        let run = run(&told()).unwrap();
        let (failed, writing) = (&run.steps[0], &run.steps[1]);
        assert_eq!((failed.outcome.as_str(), failed.attempts), ("OutOfStock", 3));
        assert_eq!(failed.ended_at.to_string(), "2026-11-25T09:00:02.000Z");
        assert_eq!((writing.outcome.as_str(), writing.attempts), (SUCCEEDED, 1));
        assert_eq!(run.direction, Direction::Forward);
    }

    #[test]
    fn a_run_that_tells_nothing_or_nothing_that_can_be_read_is_still_the_author() {
        assert_eq!(author(None), Author::Saga(None));
        for field in ["instance", "direction", "startedAt", "steps"] {
            let mut odd = told();
            odd[field] = json!(7);
            assert_eq!(run(&odd), None, "{field}");
        }
    }

    #[test]
    fn a_crash_with_a_long_name_is_cut_short() {
        let mut long = told();
        long["steps"][0]["Outcome"] = json!("ö".repeat(300));
        assert_eq!(run(&long).unwrap().steps[0].outcome, "ö".repeat(64));
    }
}
