//! The version of a stored item's shape (docs/decisions/0034-schema-versions.md).

use serde::{Deserialize, Serialize};

/// Raise it when stored items can have something that older versions cannot read: a new value of an enumeration, a new
/// required attribute, or another meaning. A new optional attribute does not need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Schema(pub u32);

impl Schema {
    pub const FIRST: Self = Self(1);
}

/// The version of an item that does not say its version.
impl Default for Schema {
    fn default() -> Self {
        Self::FIRST
    }
}

impl std::fmt::Display for Schema {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
