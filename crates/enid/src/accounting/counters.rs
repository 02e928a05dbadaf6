//! Counters of an ENI: what has passed, by direction, traffic class and bucket, and what was refused.

use std::collections::HashMap;

use enid_datapath::{Count, Direction, Ledger};
use enid_model::{EniNumber, TrafficClass};

use super::shares::shares;
use super::totals::Totals;
use super::{Accounting, read};
use crate::{EnidError, lock};

/// What has passed through an ENI since it was created.
#[derive(Debug, Clone)]
pub(crate) struct EniCounters {
    pub(crate) egress: DirectionCounters,
    pub(crate) ingress: DirectionCounters,
    /// How many flow entries it has now.
    pub(crate) flow_entries: u64,
}

/// Of one direction.
#[derive(Debug, Clone)]
pub(crate) struct DirectionCounters {
    /// Has what was refused, by reason.
    pub(crate) ledger: Ledger,
    /// What is in flows and was let through, by traffic class.
    pub(crate) classes: Vec<(TrafficClass, Count)>,
    /// What is in flows, let through or refused, and in no record, as the VPC does not log it.
    pub(crate) not_logged: Count,
}

/// How full the flow table is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FlowTable {
    pub(crate) entries: u64,
    pub(crate) capacity: u32,
}

impl Accounting {
    /// The counters of ENIs, those that are gone by now left out. It blocks.
    pub(crate) fn counters(
        &self,
        numbers: &[EniNumber],
    ) -> Result<HashMap<EniNumber, EniCounters>, EnidError> {
        let books = lock(&self.books);
        let mut totals: HashMap<EniNumber, Totals> =
            numbers.iter().map(|number| (*number, books.exported.totals(*number))).collect();
        let networks = self.networks.current();
        read(&self.datapath, &mut |flow| {
            let is_logged = books.registry.is_logged(&networks, &flow);
            for share in shares(&flow) {
                let Some(totals) = totals.get_mut(&share.eni) else { continue };
                for window in 0..flow.windows.len() {
                    let pending = books.exported.pending(&flow, window);
                    totals.add(share, pending);
                    if !is_logged {
                        totals.add_unlogged(share, pending);
                    }
                }
            }
        })?;
        let mut counters = HashMap::new();
        for (number, totals) in totals {
            let Some(ledgers) = self.ledgers(number)? else { continue };
            let of = |direction| DirectionCounters {
                ledger: *ledgers.of(direction),
                classes: totals.accepted(direction).collect(),
                not_logged: totals.unlogged(direction),
            };
            let (egress, ingress) = (of(Direction::Egress), of(Direction::Ingress));
            let flow_entries = self.datapath.flow_entries(number)?;
            counters.insert(number, EniCounters { egress, ingress, flow_entries });
        }
        Ok(counters)
    }

    /// How full the flow table is.
    pub(crate) fn flow_table(&self) -> Result<FlowTable, EnidError> {
        let mut entries = 0;
        for number in self.datapath.enis()? {
            entries += self.datapath.flow_entries(number)?;
        }
        Ok(FlowTable { entries, capacity: self.flow_capacity })
    }
}
