//! What an ENI's records and buckets add up to in a range, and what its wire ledger counted.

use std::collections::BTreeMap;

use enid_flowlog::Interface;
use enid_model::{EniId, TaskName};
use enid_spool::{Balance, Sum};
use serde::Serialize;

use super::Difference;
use super::live::minus;

/// One direction of an ENI, or both.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Part {
    pub(super) records: Sum,
    /// Of what is in no record, by name.
    pub(super) buckets: BTreeMap<String, Sum>,
    pub(super) wire_ledger: Sum,
}

impl Part {
    /// Adds what the ledger counted in an interval.
    pub(super) fn add(&mut self, balance: &Balance) {
        self.wire_ledger.add(balance.ledger);
        for (name, sum) in &balance.buckets {
            self.buckets.entry(name.clone()).or_default().add(*sum);
        }
    }

    /// Adds another direction.
    pub(super) fn merge(&mut self, other: Self) {
        self.records.add(other.records);
        self.wire_ledger.add(other.wire_ledger);
        for (name, sum) in other.buckets {
            self.buckets.entry(name).or_default().add(sum);
        }
    }

    /// What the wire ledger has and no record or bucket explains.
    pub(super) fn left_over(&self) -> Difference {
        let difference = |sum: &Sum| [i128::from(sum.packets), i128::from(sum.bytes)];
        let explained = std::iter::once(&self.records).chain(self.buckets.values());
        explained.map(difference).fold(difference(&self.wire_ledger), minus)
    }
}

/// An ENI.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Account {
    pub(super) task: Option<TaskName>,
    pub(super) eni_id: EniId,
    pub(super) egress: Part,
    pub(super) ingress: Part,
    /// In place of them where records do not say their direction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) both: Option<Part>,
}

impl Account {
    /// Of an ENI of which nothing is known yet.
    pub(super) fn new(interface: &Interface) -> Self {
        let (task, eni_id) = (interface.task.clone(), interface.eni);
        Self { task, eni_id, egress: Part::default(), ingress: Part::default(), both: None }
    }

    /// What is to be shown: both directions together, or one after the other.
    pub(super) fn parts(&self) -> Vec<&Part> {
        match &self.both {
            Some(both) => vec![both],
            None => vec![&self.egress, &self.ingress],
        }
    }

    /// Whether nothing is left over.
    pub(super) fn closes(&self) -> bool {
        self.parts().iter().all(|part| part.left_over() == [0, 0])
    }
}

/// All ENIs in a range.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Accounts {
    /// Unix seconds.
    pub(super) since: u64,
    /// Unix seconds; not included.
    pub(super) until: u64,
    pub(super) enis: Vec<Account>,
}
