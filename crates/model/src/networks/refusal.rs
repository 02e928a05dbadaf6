//! Why a change to the networks can't be made.

use crate::Name;
use crate::network_file::lines;

/// A change to the networks can't be made. Shown as its refusals, a line each.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.refusals))]
pub struct ApplyError {
    pub(super) refusals: Vec<Refusal>,
}

impl ApplyError {
    /// All that is refused, in the order in which it was asked for; at least one.
    pub fn refusals(&self) -> &[Refusal] {
        &self.refusals
    }
}

impl ApplyError {
    /// All well if nothing is refused.
    pub(super) fn unless_empty(refusals: Vec<Refusal>) -> Result<(), Self> {
        if refusals.is_empty() { Ok(()) } else { Err(Self { refusals }) }
    }
}

impl From<Refusal> for ApplyError {
    fn from(refusal: Refusal) -> Self {
        Self { refusals: vec![refusal] }
    }
}

/// One thing that a network file or an update asks for and can't have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A field that can't change once the thing exists.
    #[error(
        "{object}: {field} is {current} and can't become {wanted}: delete and recreate it, or use another name"
    )]
    Fixed {
        /// What exists: "subnet a of vpc default".
        object: String,
        /// The field, as network files call it.
        field: &'static str,
        /// What it is; "none" where it is absent.
        current: String,
        /// What the file has; "none" where it is absent.
        wanted: String,
    },
    /// A new subnet's block overlaps that of a subnet that the file doesn't mention.
    #[error("subnet {subnet} of vpc {vpc}: {cidr} overlaps {other_cidr} of the existing subnet {other}")]
    Overlap {
        /// The new subnet.
        subnet: Name,
        /// Its VPC.
        vpc: Name,
        /// Its block.
        cidr: String,
        /// The existing subnet.
        other: Name,
        /// Its block.
        other_cidr: String,
    },
    /// A rule's peer is a group or a prefix list that the VPC lacks.
    #[error("{rule}: there is no {kind} `{peer}` in vpc {vpc}{}", elsewhere(.other_vpc.as_ref()))]
    UnknownPeer {
        /// The rule: "security-group web of vpc default: ingress rule all:sg=db".
        rule: String,
        /// "security group" or "prefix list".
        kind: &'static str,
        /// What the rule calls its peer.
        peer: Name,
        /// The rule's VPC.
        vpc: Name,
        /// Another VPC that has such a one.
        other_vpc: Option<Name>,
    },
    /// What is to be updated does not exist.
    #[error("there is no {kind} {id}")]
    Unknown {
        /// "security group" or "prefix list".
        kind: &'static str,
        /// The identifier.
        id: String,
    },
    /// What is to be taken away isn't there.
    #[error("{object}: there is no {kind} {wanted} to remove")]
    Absent {
        /// Whose it would be: "security-group web of vpc default".
        object: String,
        /// "ingress rule", "egress rule" or "entry".
        kind: &'static str,
        /// The rule in its short form, or the entry.
        wanted: String,
    },
    /// A group would have more rules, or a prefix list more entries, than it may.
    #[error("{object}: it may have at most {most} {kind}, and would have {count}")]
    TooMany {
        /// Whose they would be: "security-group web of vpc default".
        object: String,
        /// "ingress rules", "egress rules" or "entries".
        kind: &'static str,
        /// The most that are allowed.
        most: usize,
        /// How many there would be.
        count: usize,
    },
}

fn elsewhere(other_vpc: Option<&Name>) -> String {
    let hint = |vpc| format!(": vpc {vpc} has one, but a rule's peer is of the rule's own VPC");
    other_vpc.map_or_else(String::new, hint)
}
