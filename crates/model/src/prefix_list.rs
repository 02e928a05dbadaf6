//! Prefix lists: address blocks that rules refer to by one name.

use serde::{Deserialize, Serialize};

use crate::{Cidr, Name, PrefixListId};

/// The most entries that a prefix list may have, as VPCs have it.
pub const MAX_PREFIX_LIST_ENTRIES: usize = 1000;

/// A named set of address blocks. A rule whose peer it is means all of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrefixList {
    /// The identifier.
    pub id: PrefixListId,
    /// The name, unique in the VPC.
    pub name: Name,
    /// The blocks, of either family, each once.
    pub entries: Vec<Cidr>,
}
