//! Parcels: what of the spool is complete for a flow log.
//!
//! A parcel is delivered in parts, so that the daemon's memory does not grow with what there is to deliver: each has all the
//! records of some of the flows, and the spool is read again for each.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use enid_delivery::FlowLog;
use enid_flowlog::{Aggregator, FlowRecord, Interface, SLOT_SECONDS, flow_hash};
use enid_spool::{Batch, Damage, Reader, SpoolError};

use crate::flow_logs::takes_files;

/// With so many records a parcel ends, at the end of an interval.
const MANY_RECORDS: usize = 500_000;

/// About so many records are in a part: 128 bytes each.
const RECORDS_A_PART: usize = 1 << 18;

/// A part of a parcel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    /// From 0.
    pub(super) number: u32,
    /// How many there are.
    of: u32,
}

impl Part {
    /// All there is.
    pub(super) const WHOLE: Self = Self { number: 0, of: 1 };

    const fn first_of(of: u32) -> Self {
        Self { number: 0, of }
    }

    /// The next one; none after the last.
    pub(super) fn next(self) -> Option<Self> {
        let number = self.number + 1;
        (number < self.of).then_some(Self { number, ..self })
    }

    fn has(self, record: &FlowRecord) -> bool {
        self.of == 1 || flow_hash(record) % u64::from(self.of) == u64::from(self.number)
    }
}

/// Records to deliver together.
#[derive(Debug)]
pub(super) struct Gathered {
    /// The last batch before those that they are of.
    pub(super) after: u64,
    /// The last batch that they are of.
    pub(super) to: u64,
    /// Which of the parcel's records they are.
    pub(super) part: Part,
    /// In the order of their starts, interval by interval.
    pub(super) records: Vec<FlowRecord>,
    /// What of the spool could not be read.
    pub(super) damage: Vec<Damage>,
}

/// Which batches there are, and up to which to gather.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reach {
    /// The last batch that is delivered.
    pub(super) after: u64,
    /// The last batch that is written.
    pub(super) written: u64,
    /// Up to this one what is there counts as complete.
    pub(super) forced: u64,
    /// Gather to this one, no more and no less: a delivery is repeated.
    pub(super) exactly: Option<u64>,
}

/// Gathers a part of the next parcel, the first if none is given; none if there is nothing complete. How many parts there
/// are is for what is in the batches to say, so that a delivery that is repeated has the same ones.
pub(super) fn gather(
    spool: &Path,
    flow_log: &FlowLog,
    reach: Reach,
    part: Option<Part>,
) -> Result<Option<Gathered>, SpoolError> {
    let Some(to) = reach.exactly.map_or_else(|| complete(spool, flow_log, reach), |to| Ok(Some(to)))? else {
        return Ok(None);
    };
    if let Some(part) = part {
        return gather_part(spool, flow_log, (reach.after, to), part, usize::MAX);
    }
    // An interval of several batches may have as many flows as one of them, or as all.
    let mut parts = largest_batch(spool, (reach.after, to))?.div_ceil(RECORDS_A_PART).next_power_of_two();
    loop {
        let part = Part::first_of(u32::try_from(parts).unwrap_or(u32::MAX));
        let limit = RECORDS_A_PART + RECORDS_A_PART / 4;
        if let Some(gathered) = gather_part(spool, flow_log, (reach.after, to), part, limit)? {
            return Ok(Some(gathered));
        }
        parts *= 2;
    }
}

/// Gathers a part of what is after a batch, to another; none if it has more records than that.
fn gather_part(
    spool: &Path,
    flow_log: &FlowLog,
    (after, to): (u64, u64),
    part: Part,
    limit: usize,
) -> Result<Option<Gathered>, SpoolError> {
    let mut gathered = Gathered { after, part, ..Gathered::nothing(to) };
    let mut reader = Reader::open(spool, after)?;
    let (mut records, mut window) = (Aggregator::default(), 0);
    while let Some(mut batch) = reader.next_batch()?.filter(|batch| batch.number <= to) {
        let end = window_end(flow_log, batch.until());
        if end != window {
            gathered.add(std::mem::take(&mut records));
            window = end;
        }
        each(flow_log, &mut batch, |record, is_wanted| {
            if is_wanted && part.has(&record) {
                records.add(record);
            } else {
                records.pass_over(&record);
            }
        })?;
        gathered.damage.extend_from_slice(batch.damage());
        if gathered.records.len() + records.len() > limit {
            return Ok(None);
        }
    }
    gathered.add(records);
    let mut shown = ShownTags::default();
    for record in &mut gathered.records {
        shown.show(flow_log, record);
    }
    Ok(Some(gathered))
}

impl Gathered {
    /// No records at all, up to a batch.
    pub(super) const fn nothing(to: u64) -> Self {
        Self { after: to, to, part: Part::WHOLE, records: Vec::new(), damage: Vec::new() }
    }

    /// Where it is in the flow log's records.
    pub(super) fn position(&self) -> u64 {
        // There are no 2^48 batches: not with one a second.
        u64::from(self.part.number) << 48 | self.to
    }

    /// Adds the records of an interval.
    fn add(&mut self, records: Aggregator) {
        let mut records = records.finish();
        if self.records.is_empty() {
            self.records = records;
        } else {
            self.records.append(&mut records);
        }
    }
}

/// How many records the largest batch has of those after one, to another.
fn largest_batch(spool: &Path, (after, to): (u64, u64)) -> Result<usize, SpoolError> {
    let mut reader = Reader::open(spool, after)?;
    let mut largest = 0;
    while let Some(batch) = reader.next_batch()?.filter(|batch| batch.number <= to) {
        largest = largest.max(batch.len());
    }
    Ok(largest)
}

/// Gives each record of a flow log's ENIs in a batch, and whether the flow log has it.
pub(super) fn each(
    flow_log: &FlowLog,
    batch: &mut Batch,
    mut use_record: impl FnMut(FlowRecord, bool),
) -> Result<(), SpoolError> {
    while let Some(records) = batch.next_records()? {
        for record in records {
            let Interface { vpc, subnet, eni, .. } = *record.interface;
            if flow_log.target.contains(vpc, subnet, eni) {
                let is_wanted =
                    record.traffic().is_none_or(|traffic| flow_log.traffic.wants(traffic.action()));
                use_record(record, is_wanted);
            }
        }
    }
    Ok(())
}

/// The last batch of the next parcel, if that is complete.
fn complete(spool: &Path, flow_log: &FlowLog, reach: Reach) -> Result<Option<u64>, SpoolError> {
    let mut reader = Reader::open(spool, reach.after)?;
    let mut group: Option<(u64, u64)> = None;
    let (mut last, mut records) = (0, 0);
    while let Some(batch) = reader.next_batch()?.filter(|batch| batch.number <= reach.written) {
        let (id, end) = group_of(flow_log, batch.until());
        if group.is_some_and(|(known, _)| known != id) {
            return Ok(Some(last));
        }
        group = Some((id, end));
        last = batch.number;
        records += batch.len();
        let is_at_an_end = batch.ended >= window_end(flow_log, batch.until());
        if batch.ended >= end || is_at_an_end && records >= MANY_RECORDS {
            return Ok(Some(last));
        }
    }
    Ok((group.is_some() && last <= reach.forced).then_some(last))
}

/// The end of the aggregation interval that a batch is in whose records end before this time.
fn window_end(flow_log: &FlowLog, until: u64) -> u64 {
    until.next_multiple_of(u64::from(flow_log.interval.seconds()))
}

/// What is delivered together: a number, and the end of its last interval. To a collector each interval goes by itself;
/// into a file those that end in one 5-minute slot.
fn group_of(flow_log: &FlowLog, until: u64) -> (u64, u64) {
    let end = window_end(flow_log, until);
    if !takes_files(&flow_log.destination) {
        return (end, end);
    }
    let slot = end.saturating_sub(1) / SLOT_SECONDS;
    let interval = u64::from(flow_log.interval.seconds());
    let slot_end = (slot + 1) * SLOT_SECONDS;
    (slot, (slot_end - slot_end % interval).max(end))
}

/// Interfaces with the tags that a flow log shows.
#[derive(Debug, Default)]
struct ShownTags(HashMap<usize, Arc<Interface>>);

impl ShownTags {
    fn show(&mut self, flow_log: &FlowLog, record: &mut FlowRecord) {
        if flow_log.interface_tags.iter().all(Option::is_none) {
            return;
        }
        // All that were seen are held by the records, so that no address is given out again.
        let shown = self.0.entry(Arc::as_ptr(&record.interface).addr()).or_insert_with(|| {
            let mut interface = Interface::clone(&record.interface);
            interface.shown_tags = flow_log.shown_tags(&interface.tags);
            Arc::new(interface)
        });
        record.interface = Arc::clone(shown);
    }
}
