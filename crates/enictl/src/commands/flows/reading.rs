//! Reading records, of the spool or of files, past those that can't be read.

use std::fmt::Display;
use std::num::NonZero;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::available_parallelism;

use enid_flowlog::{Field, Filter, FlowRecord, GroupBy, Histogram, Place, Query, Scan, Summary};
use enid_spool::{Damage, each_flow};

use super::printer::Printer;
use super::progress::Progress;
use crate::failure::Failure;

/// Where the records are.
pub(super) enum Records {
    /// In the daemon's spool.
    Spool(PathBuf),
    /// In files that were delivered.
    Files(Place),
}

/// Reads the records that meet conditions. What can't be read is reported, and fails the command in the end.
pub(super) struct Reading {
    records: Records,
    filter: Filter,
    progress: Arc<Progress>,
    has_failed: AtomicBool,
}

impl Reading {
    /// Nothing is read yet.
    pub(super) const fn new(records: Records, filter: Filter, progress: Arc<Progress>) -> Self {
        Self { records, filter, progress, has_failed: AtomicBool::new(false) }
    }

    /// Prints each record.
    pub(super) fn print(&self, mut printer: Printer) -> Result<(), Failure> {
        match &self.records {
            Records::Spool(folder) => self.each_spooled(folder, |record| printer.print(record))?,
            Records::Files(place) => {
                let mut scan = self.scan(place, printer.fields(), Vec::new())?;
                let mut outcome = Ok(());
                scan.for_each(&|done, total| self.progress.bytes(done, total), |record| {
                    match record {
                        Ok(record) => outcome = printer.print(&record),
                        Err(error) => self.report(&error),
                    }
                    if outcome.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                });
                outcome?;
            }
        }
        printer.flush()
    }

    /// Adds the records up by what they have in common.
    pub(super) fn summary(&self, group_by: GroupBy) -> Result<Summary, Failure> {
        match &self.records {
            Records::Spool(folder) => {
                let mut summary = Summary::new(group_by);
                self.each_spooled(folder, |record| {
                    summary.add(record);
                    Ok(())
                })?;
                Ok(summary)
            }
            Records::Files(place) => {
                let needs = Summary::needs(group_by);
                let mut scan = self.scan(place, Some(fields(&needs)), needs)?;
                let progress = |done, total| self.progress.bytes(done, total);
                Ok(scan.summarize(group_by, threads(), &progress, &|error| self.report(&error)))
            }
        }
    }

    /// Adds the records up by the time that they end in, in buckets of so many seconds.
    pub(super) fn histogram(&self, width: u64) -> Result<Histogram, Failure> {
        let mut histogram = Histogram::new(width);
        match &self.records {
            Records::Spool(folder) => self.each_spooled(folder, |record| {
                histogram.add(record);
                Ok(())
            })?,
            Records::Files(place) => {
                let needs = Histogram::needs();
                let mut scan = self.scan(place, Some(fields(&needs)), needs)?;
                let parts = scan.fold(
                    threads(),
                    &|done, total| self.progress.bytes(done, total),
                    &|error| self.report(&error),
                    || Histogram::new(width),
                    |histogram, record| histogram.add(record),
                );
                for part in parts {
                    histogram.merge(part);
                }
            }
        }
        Ok(histogram)
    }

    /// How the command ends.
    pub(super) fn exit_code(&self) -> ExitCode {
        if self.has_failed.load(Ordering::Relaxed) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }

    fn scan(
        &self,
        place: &Place,
        fields: Option<Vec<Field>>,
        needs: Vec<(Field, &'static str)>,
    ) -> Result<Scan, Failure> {
        Ok(Scan::new(place, Query { filter: self.filter.clone(), fields, needs, flow_log: None })?)
    }

    fn each_spooled(
        &self,
        folder: &Path,
        use_record: impl FnMut(&FlowRecord) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let damaged = |Damage { file, offset, bytes, records }: &Damage| {
            let held = records.map(|records| format!(": {records} records")).unwrap_or_default();
            self.report(&format_args!("{}: {bytes} bytes at {offset} can't be read{held}", file.display()));
        };
        each_flow(folder, &self.filter, |read| self.progress.records(read), damaged, use_record)
    }

    fn report(&self, problem: &dyn Display) {
        self.has_failed.store(true, Ordering::Relaxed);
        self.progress.clear();
        eprintln!("enictl: {problem}");
    }
}

fn fields(needs: &[(Field, &'static str)]) -> Vec<Field> {
    needs.iter().map(|(field, _)| *field).collect()
}

fn threads() -> usize {
    available_parallelism().map_or(1, NonZero::get)
}
