//! Parcels: what of the spool is complete for a flow log.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use enid_delivery::FlowLog;
use enid_flowlog::{Aggregator, FlowRecord, Interface, SLOT_SECONDS};
use enid_spool::{Batch, Damage, Reader, SpoolError};

use crate::flow_logs::takes_files;

/// With so many records a parcel ends, at the end of an interval.
const MANY_RECORDS: usize = 500_000;

/// Records to deliver together.
#[derive(Debug)]
pub(super) struct Gathered {
    /// The last batch that they are of.
    pub(super) to: u64,
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

/// Gathers the next parcel; none if there is nothing complete.
pub(super) fn gather(spool: &Path, flow_log: &FlowLog, reach: Reach) -> Result<Option<Gathered>, SpoolError> {
    let Some(to) = reach.exactly.map_or_else(|| complete(spool, flow_log, reach), |to| Ok(Some(to)))? else {
        return Ok(None);
    };
    let mut gathered = Gathered { to, records: Vec::new(), damage: Vec::new() };
    let mut reader = Reader::open(spool, reach.after)?;
    let (mut records, mut window) = (Aggregator::default(), 0);
    while let Some(mut batch) = reader.next_batch()?.filter(|batch| batch.number <= to) {
        let end = window_end(flow_log, batch.ended);
        if end != window {
            gathered.records.append(&mut std::mem::take(&mut records).finish());
            window = end;
        }
        each(flow_log, &mut batch, |record, is_wanted| {
            if is_wanted {
                records.add(record);
            } else {
                records.pass_over(&record);
            }
        })?;
        gathered.damage.extend_from_slice(batch.damage());
    }
    gathered.records.append(&mut records.finish());
    let mut shown = ShownTags::default();
    for record in &mut gathered.records {
        shown.show(flow_log, record);
    }
    Ok(Some(gathered))
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
        let (id, end) = group_of(flow_log, batch.ended);
        if group.is_some_and(|(known, _)| known != id) {
            return Ok(Some(last));
        }
        group = Some((id, end));
        last = batch.number;
        records += batch.len();
        let is_at_an_end = batch.ended >= window_end(flow_log, batch.ended);
        if batch.ended >= end || is_at_an_end && records >= MANY_RECORDS {
            return Ok(Some(last));
        }
    }
    Ok((group.is_some() && last <= reach.forced).then_some(last))
}

/// The end of the aggregation interval that a batch is in which ended at this time.
fn window_end(flow_log: &FlowLog, ended: u64) -> u64 {
    ended.next_multiple_of(u64::from(flow_log.interval.seconds()))
}

/// What is delivered together: a number, and the end of its last interval. To a collector each interval goes by itself;
/// into a file those that end in one 5-minute slot.
fn group_of(flow_log: &FlowLog, ended: u64) -> (u64, u64) {
    let end = window_end(flow_log, ended);
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
