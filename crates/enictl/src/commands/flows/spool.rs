//! Records of the daemon's spool.

use std::path::Path;

use enid_flowlog::{Aggregator, Filter, FlowRecord};
use enid_spool::{Damage, Reader};

use super::progress::Progress;
use crate::failure::Failure;

/// Gives each record of a spool that the filter lets through, interval by interval, those of one in the order of their
/// starts. What can't be read is given to `damaged`.
pub(super) fn each(
    folder: &Path,
    filter: &Filter,
    progress: &Progress,
    mut damaged: impl FnMut(&Damage),
    mut use_record: impl FnMut(&FlowRecord) -> Result<(), Failure>,
) -> Result<(), Failure> {
    // Times are those of the whole flow, which may be in several pieces.
    let of_any_time = Filter { since: None, until: None, ..filter.clone() };
    let mut reader = Reader::open(folder, 0)?;
    let mut read = 0;
    while let Some(mut batch) = reader.next_batch()? {
        if filter.since.is_some_and(|since| batch.ended < since) {
            continue;
        }
        let mut records = Aggregator::default();
        while let Some(some) = batch.next_records()? {
            read += some.len();
            progress.records(read);
            records.extend(some.into_iter().filter(|record| of_any_time.matches(record)));
        }
        records.finish().iter().filter(|record| filter.matches(*record)).try_for_each(&mut use_record)?;
        batch.damage().iter().for_each(&mut damaged);
    }
    Ok(())
}
