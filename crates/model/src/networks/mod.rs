//! The VPCs of a host: found, applied to, updated, removed from. Nothing here changes in place: each operation gives a new
//! [`Networks`], which its caller stores before anything is made of it.

mod apply;
mod apply_policy;
mod change;
mod lookup;
mod peers;
mod refusal;
mod remove;
mod update;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use change::{Action, Change, Object};
pub use lookup::LookupError;
pub use refusal::{ApplyError, Refusal};
pub use remove::RemoveError;
pub use update::ListUpdate;

use crate::Vpc;

/// All VPCs of a host, in the order they were declared.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Networks {
    vpcs: Vec<Vpc>,
}

impl Networks {
    /// The VPCs, in the order they were declared.
    pub fn vpcs(&self) -> &[Vpc] {
        &self.vpcs
    }
}

/// From VPCs stored one by one; their names and identifiers must be unique.
impl FromIterator<Vpc> for Networks {
    fn from_iter<I: IntoIterator<Item = Vpc>>(vpcs: I) -> Self {
        Self { vpcs: vpcs.into_iter().collect() }
    }
}
