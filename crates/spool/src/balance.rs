//! What the ledger of an ENI counted in an interval, to hold its records against.

use std::collections::BTreeMap;

use enid_model::EniId;
use serde::{Deserialize, Serialize};

/// Packets on the wire, and their layer-3 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sum {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Sum {
    /// Adds another sum.
    pub const fn add(&mut self, other: Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
    }
}

/// One direction of an ENI in an interval. The ledger counts each packet once, whatever becomes of it: it is the sum of
/// the records and of the buckets.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Balance {
    /// All packets.
    pub ledger: Sum,
    /// Those that are in no record, by what they were; only buckets with packets are there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub buckets: BTreeMap<String, Sum>,
}

/// Both directions of an ENI in an interval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balances {
    /// The ENI.
    pub eni: EniId,
    /// What it sent.
    pub egress: Balance,
    /// What arrived for it.
    pub ingress: Balance,
}
