//! The audit: what was written, what is pending and what is in buckets, against both ledgers and the kernel.
//!
//! Records are read back from their files, not remembered: what is audited is what a reader would find.

use std::collections::HashMap;
use std::path::Path;

use enid_datapath::{Count, Direction, Ledgers};
use enid_flowlog::{Filter, FlowLogError, read};
use enid_model::{EniId, EniNumber};
use enid_netns::LinkStatistics;

use super::Accounting;
use crate::{EnidError, lock};

/// How often an audit looks again at ENIs whose traffic moved while it looked.
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
    /// In records that were removed, to stay within their limit.
    pub(crate) not_kept: Count,
    pub(crate) pending: Count,
    pub(crate) buckets: Count,
    pub(crate) wire_ledger: Count,
    pub(crate) interface_ledger: Count,
    pub(crate) kernel: Count,
    pub(crate) dropped_by_device: u64,
}

/// Counts by direction.
type Counts = [Count; 2];
/// In the order of their numbers.
const DIRECTIONS: [Direction; 2] = [Direction::Egress, Direction::Ingress];

impl Accounting {
    /// Audits ENIs. `kernel` reads the counters of all host ends, by number. It blocks.
    ///
    /// Traffic does not stop for an audit: it looks again until nothing moved while it looked. On an ENI that never
    /// rests, the last look is the answer, and is off by what passed in between.
    pub(crate) fn audit(
        &self,
        enis: &[(EniId, EniNumber)],
        kernel: impl Fn() -> Result<HashMap<u32, LinkStatistics>, EnidError>,
    ) -> Result<HashMap<EniNumber, EniAudit>, EnidError> {
        // Held throughout, so that no record is written between looking at the files and at the flow table.
        let books = lock(&self.books);
        let records = written(&self.record_directory, enis)?;
        let mut audits = HashMap::new();
        for attempt in 1..=ATTEMPTS {
            let mut before = Vec::new();
            for (id, number) in enis.iter().filter(|(_, number)| !audits.contains_key(number)) {
                // One that was deleted meanwhile has nothing to be audited.
                before.extend(self.ledgers(*number)?.map(|ledgers| (*id, *number, ledgers)));
            }
            if before.is_empty() {
                break;
            }
            let links = kernel()?;
            let mut pending: HashMap<EniNumber, Counts> = HashMap::new();
            self.datapath.read_flows(&mut |flow| {
                let counts = pending.entry(flow.eni).or_default();
                for window in 0..flow.windows.len() {
                    counts[flow.direction as usize].add(books.exported.pending(&flow, window));
                }
            })?;
            for (id, number, ledgers) in before {
                let Some(after) = self.ledgers(number)? else { continue };
                if after == ledgers || attempt == ATTEMPTS {
                    let records = records.get(&id).copied().unwrap_or_default();
                    let pending = pending.get(&number).copied().unwrap_or_default();
                    let link = links.get(&number.get()).copied().unwrap_or_default();
                    let not_kept = DIRECTIONS.map(|direction| {
                        books.exported.not_kept(number, direction, records[direction as usize])
                    });
                    audits.insert(number, balance(&after, records, not_kept, pending, link));
                }
            }
        }
        Ok(audits)
    }
}

/// What the records of ENIs add up to, as a reader of the folder finds them.
fn written(folder: &Path, enis: &[(EniId, EniNumber)]) -> Result<HashMap<EniId, Counts>, EnidError> {
    let mut sums: HashMap<EniId, Counts> = enis.iter().map(|(id, _)| (*id, Counts::default())).collect();
    // One ENI's records can be told by their reader; those of several are told here.
    let filter = match enis {
        [(id, _)] => Filter { eni: Some(*id), ..Filter::default() },
        _ => Filter::default(),
    };
    for record in read(folder, &filter)? {
        let record = match record {
            Ok(record) => record,
            // One bad line must not hide all accounts: what it held is missing from the sum, and so left over.
            Err(error @ FlowLogError::Io { .. }) => return Err(error.into()),
            Err(error) => {
                tracing::warn!(%error, "the audit passes over a line that is no record");
                continue;
            }
        };
        let direction = match record.flow_direction {
            Some(enid_flowlog::Direction::Egress) => Direction::Egress,
            Some(enid_flowlog::Direction::Ingress) => Direction::Ingress,
            // NODATA and SKIPDATA.
            None => continue,
        };
        if let Some(sum) = record.interface_id.and_then(|id| sums.get_mut(&id)) {
            let count = Count { packets: record.packets.unwrap_or(0), bytes: record.bytes.unwrap_or(0) };
            sum[direction as usize].add(count);
        }
    }
    Ok(sums)
}

fn balance(
    ledgers: &Ledgers,
    records: Counts,
    not_kept: Counts,
    pending: Counts,
    link: LinkStatistics,
) -> EniAudit {
    let of = |direction: Direction, kernel, dropped_by_device| {
        let ledger = ledgers.of(direction);
        Balance {
            records: records[direction as usize],
            not_kept: not_kept[direction as usize],
            pending: pending[direction as usize],
            buckets: ledger.buckets_total(),
            wire_ledger: ledger.wire,
            interface_ledger: Count { packets: ledger.buffers, bytes: ledger.layer2_bytes },
            kernel,
            dropped_by_device,
        }
    };
    EniAudit {
        // What the task sends is what its host end receives.
        egress: of(Direction::Egress, Count { packets: link.rx_packets, bytes: link.rx_bytes }, 0),
        ingress: of(
            Direction::Ingress,
            Count { packets: link.tx_packets, bytes: link.tx_bytes },
            link.tx_dropped,
        ),
    }
}
