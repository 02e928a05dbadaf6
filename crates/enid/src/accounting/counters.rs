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
    /// The counters of ENIs, those that are gone by now left out. It blocks.
    pub(crate) fn counters(
        &self,
        numbers: &[EniNumber],
    ) -> Result<HashMap<EniNumber, EniCounters>, EnidError> {
        let books = lock(&self.books);
        let mut totals: HashMap<EniNumber, Totals> =
            numbers.iter().map(|number| (*number, books.exported.totals(*number))).collect();
        self.datapath.read_flows(&mut |flow| {
            let Some(totals) = totals.get_mut(&flow.eni) else { return };
            for window in 0..flow.windows.len() {
                totals.add(flow.direction, flow.class, books.exported.pending(&flow, window));
            }
        })?;
        let mut counters = HashMap::new();
        for (number, totals) in totals {
            let Some(ledgers) = self.ledgers(number)? else { continue };
            let of = |direction| DirectionCounters {
                ledger: *ledgers.of(direction),
                classes: totals.by_class(direction).collect(),
            };
            let egress = of(Direction::Egress);
            counters.insert(number, EniCounters { egress, ingress: of(Direction::Ingress) });
        }
        Ok(counters)
    }
}
