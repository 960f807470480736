//! What the runs of an order's saga did. An order keeps it beside its timeline; no event tells of it.

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::order::Direction;

/// The outcome of a step that succeeded.
pub const SUCCEEDED: &str = "Succeeded";

/// One run, as far as it had come when it changed the order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The name of its execution.
    pub instance: String,
    /// The direction in which it started; a run that started forward may have turned back.
    pub direction: Direction,
    pub started_at: Timestamp,
    /// In the order in which they ran.
    pub steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Its state in `infra/saga.asl.json`.
    pub name: String,
    /// [`SUCCEEDED`], or the name of the error it ended with.
    pub outcome: String,
    /// 1 when it was tried once.
    pub attempts: u32,
    /// When it was tried first.
    pub started_at: Timestamp,
    pub ended_at: Timestamp,
}

impl Run {
    /// The run after its newest step has changed the order, at `at`. Clocks differ, so the end of a step is never set
    /// before its start.
    pub(crate) fn having_changed_it(mut self, at: Timestamp) -> Self {
        if let Some(step) = self.steps.last_mut() {
            step.ended_at = at.max(step.started_at);
        }
        self
    }
}
