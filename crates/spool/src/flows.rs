//! The flows in a spool: its records, with the pieces of each flow put together.

use std::path::Path;

use enid_flowlog::{Aggregator, Filter, FlowRecord};

use crate::{Damage, Reader, SpoolError};

/// Gives each record of a spool that the filter lets through, interval by interval, those of one in the order of their
/// starts. `progress` is told how many were read so far, `damaged` what can't be read.
///
/// # Errors
/// The spool can't be opened or read, or `use_record`'s own, which ends it.
pub fn each_flow<E: From<SpoolError>>(
    folder: &Path,
    filter: &Filter,
    mut progress: impl FnMut(usize),
    mut damaged: impl FnMut(&Damage),
    mut use_record: impl FnMut(&FlowRecord) -> Result<(), E>,
) -> Result<(), E> {
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
            progress(read);
            records.extend(some.into_iter().filter(|record| of_any_time.matches(record)));
        }
        records.finish().iter().filter(|record| filter.matches(*record)).try_for_each(&mut use_record)?;
        batch.damage().iter().for_each(&mut damaged);
    }
    Ok(())
}
