//! The audit: what was written, what is pending and what is in buckets, against both ledgers and the kernel.
//!
//! Records are read back from their files, not remembered: what is audited is what a reader would find.

use enid_datapath::{Count, Direction, Ledgers};
use enid_flowlog::{Filter, read};
use enid_model::{EniId, EniNumber};
use enid_netns::LinkStatistics;

use super::Accounting;
use crate::{EnidError, lock};

/// How often an audit looks again at an ENI whose traffic moved while it looked.
const ATTEMPTS: u32 = 20;

/// Both ledgers of an ENI, and what they are held against.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EniAudit {
    pub(crate) egress: Balance,
    pub(crate) ingress: Balance,
}

/// Of one direction.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Balance {
    pub(crate) records: Count,
    pub(crate) pending: Count,
    pub(crate) buckets: Count,
    pub(crate) wire_ledger: Count,
    pub(crate) interface_ledger: Count,
    pub(crate) kernel: Count,
}

impl Accounting {
    /// Audits an ENI. `kernel` reads the counters of its host end. It blocks.
    ///
    /// Traffic does not stop for an audit: it looks again until nothing moved while it looked. On an ENI that never
    /// rests, the last look is the answer, and is off by what passed in between.
    pub(crate) fn audit(
        &self,
        eni: EniId,
        number: EniNumber,
        kernel: impl Fn() -> Result<LinkStatistics, EnidError>,
    ) -> Result<EniAudit, EnidError> {
        // Held throughout, so that no record is written between looking at the files and at the flow table.
        let books = lock(&self.books);
        let mut records = [Count::default(); 2];
        let filter = Filter { eni: Some(eni), ..Filter::default() };
        for record in read(&self.record_directory, &filter)? {
            let record = record?;
            let direction = match record.flow_direction {
                Some(enid_flowlog::Direction::Egress) => Direction::Egress,
                Some(enid_flowlog::Direction::Ingress) => Direction::Ingress,
                // NODATA and SKIPDATA.
                None => continue,
            };
            let count = Count { packets: record.packets.unwrap_or(0), bytes: record.bytes.unwrap_or(0) };
            records[direction as usize].add(count);
        }
        let mut attempt = 0;
        loop {
            attempt += 1;
            let before = self.datapath.ledgers(number)?;
            let link = kernel()?;
            let mut pending = [Count::default(); 2];
            self.datapath.read_flows(&mut |flow| {
                if flow.eni == number {
                    for window in 0..flow.windows.len() {
                        pending[flow.direction as usize].add(books.exported.pending(&flow, window));
                    }
                }
            })?;
            let after = self.datapath.ledgers(number)?;
            if before == after || attempt == ATTEMPTS {
                return Ok(balance(&after, records, pending, link));
            }
        }
    }
}

fn balance(ledgers: &Ledgers, records: [Count; 2], pending: [Count; 2], link: LinkStatistics) -> EniAudit {
    let of = |direction: Direction, kernel| {
        let ledger = ledgers.of(direction);
        Balance {
            records: records[direction as usize],
            pending: pending[direction as usize],
            buckets: ledger.buckets_total(),
            wire_ledger: ledger.wire,
            interface_ledger: Count { packets: ledger.buffers, bytes: ledger.layer2_bytes },
            kernel,
        }
    };
    EniAudit {
        // What the task sends is what its host end receives.
        egress: of(Direction::Egress, Count { packets: link.rx_packets, bytes: link.rx_bytes }),
        ingress: of(Direction::Ingress, Count { packets: link.tx_packets, bytes: link.tx_bytes }),
    }
}
