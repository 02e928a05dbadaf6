//! The audit: what was written, what is pending and what is in buckets, against both ledgers and the kernel.
//!
//! Records are read back from their files, not remembered: what is audited is what a reader would find.

use std::collections::HashMap;
use std::path::Path;

use enid_datapath::{Bucket, Count, Direction, Ledgers, Reason};
use enid_model::{EniId, EniNumber};
use enid_netns::VethPair;
use enid_spool::{Damage, Reader};

use super::exported::Exported;
use super::shares::shares;
use super::{Accounting, read};
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
    /// Accepted and refused.
    pub(crate) records: Count,
    /// In records that were removed, to stay within their limit.
    pub(crate) not_kept: Count,
    pub(crate) pending: Count,
    pub(crate) buckets: Count,
    /// Written off as what the VPC does not log.
    pub(crate) not_logged: Count,
    pub(crate) wire_ledger: Count,
    /// What records, entries and the bucket of those for which there was no room hold of refused packets.
    pub(crate) refused: Count,
    pub(crate) refused_ledger: Count,
    pub(crate) interface_ledger: Count,
    /// None if it can't be asked.
    pub(crate) kernel: Option<Count>,
    pub(crate) dropped_by_device: u64,
}

/// What records or entries of one ENI and direction add up to.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    all: Count,
    /// Of all, what was refused.
    refused: Count,
}

impl Sum {
    const fn add(&mut self, count: Count, is_refused: bool) {
        self.all.add(count);
        if is_refused {
            self.refused.add(count);
        }
    }
}

/// Sums by direction.
type Sums = [Sum; 2];

impl Accounting {
    /// Audits ENIs. `links` reads the kernel's counters of their links, by number. It blocks.
    ///
    /// Traffic does not stop for an audit: it looks again until nothing moved while it looked. On an ENI that never
    /// rests, the last look is the answer, and is off by what passed in between.
    pub(crate) fn audit(
        &self,
        enis: &[(EniId, EniNumber)],
        links: impl Fn() -> Result<HashMap<u32, VethPair>, EnidError>,
    ) -> Result<HashMap<EniNumber, EniAudit>, EnidError> {
        // Held throughout, so that no record is written between looking at the files and at the tables.
        let books = lock(&self.books);
        let records = written(&self.spool_directory, enis)?;
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
            let links = links()?;
            let mut pending: HashMap<EniNumber, Sums> = HashMap::new();
            read(&self.datapath, &mut |flow| {
                for share in shares(&flow) {
                    let sums = pending.entry(share.eni).or_default();
                    for window in 0..flow.windows.len() {
                        let count = books.exported.pending(&flow, window);
                        sums[share.direction as usize].add(count, share.reason.is_some());
                    }
                }
            })?;
            for (id, number, ledgers) in before {
                let Some(after) = self.ledgers(number)? else { continue };
                if after == ledgers || attempt == ATTEMPTS {
                    let found = Found {
                        ledgers: after,
                        records: records.get(&id).copied().unwrap_or_default(),
                        pending: pending.get(&number).copied().unwrap_or_default(),
                        link: links.get(&number.get()).copied(),
                    };
                    audits.insert(number, found.audit(number, &books.exported));
                }
            }
        }
        Ok(audits)
    }
}

/// What the records of ENIs add up to, as a reader of the spool finds them.
fn written(folder: &Path, enis: &[(EniId, EniNumber)]) -> Result<HashMap<EniId, Sums>, EnidError> {
    let mut sums: HashMap<EniId, Sums> = enis.iter().map(|(id, _)| (*id, Sums::default())).collect();
    let mut reader = Reader::open(folder, 0)?;
    while let Some(mut batch) = reader.next_batch()? {
        while let Some(records) = batch.next_records()? {
            for record in &records {
                // NODATA and SKIPDATA have no traffic.
                let Some(traffic) = record.traffic() else { continue };
                let direction = match traffic.direction {
                    enid_flowlog::Direction::Egress => Direction::Egress,
                    enid_flowlog::Direction::Ingress => Direction::Ingress,
                };
                if let Some(sum) = sums.get_mut(&record.interface.eni) {
                    let count = Count { packets: traffic.packets, bytes: traffic.bytes };
                    sum[direction as usize].add(count, traffic.drop_reason.is_some());
                }
            }
        }
        for Damage { file, offset, bytes, .. } in batch.damage() {
            // It must not hide all accounts: what it held is missing from the sum, and so left over.
            tracing::warn!(file = %file.display(), offset, bytes, "the audit passes over a part of the spool that can't be read");
        }
    }
    Ok(sums)
}

/// What an ENI's audit is made of.
struct Found {
    ledgers: Ledgers,
    records: Sums,
    pending: Sums,
    /// None if its link is gone.
    link: Option<VethPair>,
}

impl Found {
    fn audit(&self, number: EniNumber, exported: &Exported) -> EniAudit {
        let totals = exported.totals(number);
        let balance = |direction: Direction, kernel, dropped_by_device| {
            let (ledger, place) = (self.ledgers.of(direction), direction as usize);
            let (records, pending) = (self.records[place], self.pending[place]);
            Balance {
                records: records.all,
                not_kept: exported.not_kept(totals.all(direction), records.all),
                pending: pending.all,
                buckets: ledger.buckets_total(),
                not_logged: totals.unlogged(direction),
                wire_ledger: ledger.wire(),
                refused: total([
                    records.refused,
                    exported.not_kept(totals.refused(direction), records.refused),
                    pending.refused,
                    totals.unlogged_refused(direction),
                    ledger.bucket(Bucket::Unrecorded),
                ]),
                refused_ledger: total(Reason::ALL.map(|reason| ledger.refused(reason))),
                interface_ledger: Count { packets: ledger.buffers, bytes: ledger.layer2_bytes },
                kernel,
                dropped_by_device,
            }
        };
        // What the task sends is what its host end receives. What arrives is what the task end receives: the kernel's way
        // leads through the host end, direct delivery past it.
        let sent = self.link.map(|link| link.near);
        let arrived = self.link.and_then(|link| link.far);
        let received =
            |link: enid_netns::LinkStatistics| Count { packets: link.rx_packets, bytes: link.rx_bytes };
        EniAudit {
            egress: balance(Direction::Egress, sent.map(received), 0),
            ingress: balance(
                Direction::Ingress,
                arrived.map(received),
                sent.map_or(0, |host_end| host_end.tx_dropped),
            ),
        }
    }
}

fn total<const N: usize>(counts: [Count; N]) -> Count {
    counts.into_iter().fold(Count::default(), |mut sum, count| {
        sum.add(count);
        sum
    })
}
