//! What the ledger of an ENI counted in an interval, to hold its records against.

use std::collections::BTreeMap;
use std::sync::Arc;

use enid_flowlog::Interface;
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

/// The bucket of what is in flows and in no record, as a VPC does not log it.
pub const NOT_LOGGED: &str = "not-logged";

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

impl Balance {
    /// Adds to a bucket; nothing if there are no packets.
    pub fn add_bucket(&mut self, name: &str, sum: Sum) {
        if sum.packets > 0 {
            self.buckets.entry(name.to_owned()).or_default().add(sum);
        }
    }

    /// Whether there was nothing.
    pub fn is_empty(&self) -> bool {
        self.ledger.packets == 0 && self.buckets.is_empty()
    }
}

/// Both directions of an ENI in an interval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balances {
    /// The ENI, which may have no record.
    pub interface: Arc<Interface>,
    /// What it sent.
    pub egress: Balance,
    /// What arrived for it.
    pub ingress: Balance,
}
