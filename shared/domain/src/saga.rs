//! What the runs of an order's saga did. An order keeps it beside its timeline; no event tells of it.

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::order::Direction;

/// The outcome of a step that did what it is for.
pub const SUCCEEDED: &str = "Succeeded";

/// One run, as far as it had come when it changed the order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The name of its execution.
    pub instance: String,
    /// The way it set out on; one that went forward may have turned back.
    pub direction: Direction,
    pub started_at: Timestamp,
    /// In the order they were taken.
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
    /// The run when its newest step has changed the order, at `at`. Clocks differ: no step ends before it starts.
    pub(crate) fn having_changed_it(mut self, at: Timestamp) -> Self {
        if let Some(step) = self.steps.last_mut() {
            step.ended_at = at.max(step.started_at);
        }
        self
    }
}
