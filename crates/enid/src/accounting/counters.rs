//! Counters of an ENI: what has passed, by direction, traffic class and bucket.

use std::collections::HashMap;

use enid_datapath::{Count, Direction, Ledger};
use enid_model::{EniNumber, TrafficClass};

use super::Accounting;
use super::exported::Totals;
use crate::{EnidError, lock};

/// What has passed through an ENI since it was created.
#[derive(Debug, Clone)]
pub(crate) struct EniCounters {
    pub(crate) egress: DirectionCounters,
    pub(crate) ingress: DirectionCounters,
}

/// Of one direction.
#[derive(Debug, Clone)]
pub(crate) struct DirectionCounters {
    pub(crate) ledger: Ledger,
    /// What is in flows, by traffic class.
    pub(crate) classes: Vec<(TrafficClass, Count)>,
}

impl Accounting {
    /// The counters of ENIs. It blocks.
    pub(crate) fn counters(&self, numbers: &[EniNumber]) -> Result<Vec<EniCounters>, EnidError> {
        let books = lock(&self.books);
        let mut totals: HashMap<EniNumber, Totals> =
            numbers.iter().map(|number| (*number, books.exported.totals(*number))).collect();
        self.datapath.read_flows(&mut |flow| {
            let Some(totals) = totals.get_mut(&flow.eni) else { return };
            for window in 0..flow.windows.len() {
                totals.add(flow.direction, flow.class, books.exported.pending(&flow, window));
            }
        })?;
        let counters = |number: &EniNumber| {
            let ledgers = self.datapath.ledgers(*number)?;
            let totals = totals.get(number).cloned().unwrap_or_default();
            let direction = |ledger, direction| DirectionCounters {
                ledger,
                classes: totals.by_class(direction).collect(),
            };
            Ok(EniCounters {
                egress: direction(ledgers.egress, Direction::Egress),
                ingress: direction(ledgers.ingress, Direction::Ingress),
            })
        };
        numbers.iter().map(counters).collect()
    }
}
