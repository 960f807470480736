//! The version of a stored item's shape (docs/decisions/0034-schema-versions.md).

use serde::{Deserialize, Serialize};

/// Raised when what is stored can have something that the versions before cannot read: a new value of an enumeration,
/// an attribute that must be there, or another meaning. A further attribute that need not be there is none of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Schema(pub u32);

impl Schema {
    pub const FIRST: Self = Self(1);
}

/// Of an item that does not say it.
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
