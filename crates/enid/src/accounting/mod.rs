//! From entries of the data path to flow records: what the programs counted in an interval is exported as differences.
//!
//! The way of a record: the interval is closed ([`Accounting::close_interval`]), the tables of flows and of refusals read,
//! each entry's counts compared with what was exported of it before ([`Exported`]), and what has come since becomes a
//! record of each ENI that it went through or was refused by ([`shares`], [`Registry`]), written to both folders and sent
//! to whoever follows.

mod audit;
mod batch;
mod counters;
mod exported;
mod followers;
mod journal;
mod registry;
mod shares;
#[cfg(test)]
mod simulation;
mod snapshot;
#[cfg(test)]
mod testing;
mod totals;
mod unlogged;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use enid_datapath::{
    Bucket, Count, Datapath, DatapathError, Direction, FlowKey, FlowReading, Ledgers, RefusalKey,
};
use enid_flowlog::{
    FlowLogId, FlowRecord, Format, LogDirectory, LogDirectoryOptions, Loss, Observation, no_data_records,
};
use enid_model::{EniNumber, Subnet, Task};
use tokio::sync::broadcast;

pub(crate) use audit::Balance;
pub(crate) use counters::{DirectionCounters, FlowTable};

use batch::Batch;
use exported::Exported;
use followers::Followers;
use journal::Journal;
use registry::Registry;
use shares::shares;

use crate::config::Config;
use crate::daemon::Directories;
use crate::networks::NetworkState;
use crate::services::ServiceFile;
use crate::{EnidError, lock};

/// The accounts of all ENIs.
#[derive(Debug)]
pub(crate) struct Accounting {
    datapath: Arc<Datapath>,
    networks: Arc<NetworkState>,
    interval: Duration,
    /// The most flow entries.
    flow_capacity: u32,
    /// Complete records, for enid's own reading.
    record_directory: PathBuf,
    /// Records in the configured format.
    log_directory: PathBuf,
    format: Format,
    /// Where what was exported is remembered across restarts.
    snapshot: PathBuf,
    books: Mutex<Books>,
    followers: Followers,
}

/// What one hand must hold: records are written and totals kept in one go.
#[derive(Debug)]
struct Books {
    records: LogDirectory,
    log: LogDirectory,
    journal: Journal,
    exported: Exported,
    registry: Registry,
    /// Unix seconds of the current interval's beginning.
    interval_began: u64,
}

impl Accounting {
    /// Opens the books where an earlier daemon left them.
    pub(crate) fn open(
        config: &Config,
        directories: &Directories,
        datapath: Arc<Datapath>,
        networks: Arc<NetworkState>,
    ) -> Result<Self, EnidError> {
        let interval = config.flow_log.aggregation_interval_seconds.get();
        let record_directory = directories.state.join("records");
        let log_directory = directories.state.join("flow-logs");
        let snapshot = directories.exported();
        let limit = Some(config.flow_log.record_directory_bytes);
        let mut records = open_directory(config, &record_directory, Format::complete(), limit)?;
        let mut log = open_directory(config, &log_directory, config.flow_log.format.clone(), None)?;
        let mut exported = Exported::load(&snapshot)?;
        let journal = Journal::open(directories.journal(), exported.batch, &mut records, &mut log)?;
        let left = exported.reconcile(|each| read(&datapath, each))?;
        delete(&datapath, &left)?;
        datapath.recount_flows()?;
        let services = ServiceFile::open(config.services.ip_ranges.as_deref())?;
        let registry = Registry::new(config.account()?, config.region()?, services);
        let books = Books { records, log, journal, exported, registry, interval_began: now() };
        Ok(Self {
            datapath,
            networks,
            interval,
            flow_capacity: config.flow_table.capacity,
            record_directory,
            log_directory,
            format: config.flow_log.format.clone(),
            snapshot,
            books: Mutex::new(books),
            followers: Followers::new(),
        })
    }

    /// The aggregation interval.
    pub(crate) fn interval(&self) -> Duration {
        self.interval
    }

    /// Where complete records are.
    pub(crate) fn record_directory(&self) -> &Path {
        &self.record_directory
    }

    /// Where records in the configured format are.
    pub(crate) fn log_directory(&self) -> &Path {
        &self.log_directory
    }

    /// The configured format.
    pub(crate) fn format(&self) -> &Format {
        &self.format
    }

    /// Each line of complete records, from now on.
    pub(crate) fn follow(&self) -> broadcast::Receiver<Arc<str>> {
        self.followers.follow()
    }

    /// Ends the streams of all who follow, and of those who come later: a server that stops waits for them.
    pub(crate) fn dismiss_followers(&self) {
        self.followers.dismiss();
    }

    /// How long until the current interval ends, on the wall clock that all hosts share.
    pub(crate) fn until_interval_ends(&self) -> Duration {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let into = Duration::from_nanos(
            u64::try_from(since_1970.as_nanos() % self.interval.as_nanos()).unwrap_or(0),
        );
        self.interval.saturating_sub(into)
    }

    /// Opens the account of an ENI, before its first packet.
    pub(crate) fn register(&self, task: &Task, subnet: &Subnet) {
        lock(&self.books).registry.add(task, subnet);
    }

    /// Closes the current interval and writes its records; returns how many. It blocks.
    ///
    /// If they can't be written, nothing is lost: what was counted is still in the tables, and the next interval's records
    /// have it.
    pub(crate) fn close_interval(&self) -> Result<u64, EnidError> {
        let mut books = lock(&self.books);
        self.datapath.advance_interval()?;
        // What counts from now on belongs to the next interval.
        let open = Some(self.datapath.interval());
        let networks = self.networks.current();
        books.registry.refresh_services();
        let mut batch = Batch::default();
        read(&self.datapath, &mut |flow| {
            let is_all = batch.collect(&flow, open, &books.exported, &books.registry, &networks);
            if is_all && flow.expired {
                batch.exports.ending.entries.push(flow.entry());
            }
        })?;
        batch.merge();
        let (began, ended) = (books.interval_began, now());
        self.collect_skipped(&books, &books.registry.numbers(), ended, &mut batch)?;
        let idle = books.registry.idle(&batch.records);
        batch.records.extend(no_data_records(idle, began, ended));
        let written = self.write(&mut books, batch)?;
        books.interval_began = ended;
        Ok(written)
    }

    /// Writes the last records of ENIs whose links are gone, and closes their accounts. It blocks.
    ///
    /// They were closed before, so nothing counts for them any more, once the programs that began earlier are done.
    pub(crate) fn retire(&self, numbers: &[EniNumber]) -> Result<(), EnidError> {
        // Those of other ENIs, which deleting the links need not have waited for.
        self.datapath.wait_for_programs()?;
        let gone: HashSet<EniNumber> = numbers.iter().copied().collect();
        let mut books = lock(&self.books);
        let networks = self.networks.current();
        let mut batch = Batch::default();
        batch.exports.ending.enis = numbers.iter().map(|number| number.get()).collect();
        read(&self.datapath, &mut |flow| {
            if shares(&flow).any(|share| gone.contains(&share.eni)) {
                batch.collect(&flow, None, &books.exported, &books.registry, &networks);
                batch.exports.ending.entries.push(flow.entry());
            }
        })?;
        batch.merge();
        self.collect_skipped(&books, numbers, now(), &mut batch)?;
        self.write(&mut books, batch)?;
        for number in numbers {
            books.registry.remove(*number);
            books.exported.forget_eni(*number);
        }
        books.exported.save(&self.snapshot)
    }

    /// Says so in a record, if more packets of an ENI are in none than were known.
    fn collect_skipped(
        &self,
        books: &Books,
        numbers: &[EniNumber],
        ended: u64,
        batch: &mut Batch,
    ) -> Result<(), EnidError> {
        for number in numbers {
            let unrecorded = self.unrecorded(*number)?;
            let known = books.exported.totals(*number).unrecorded();
            if unrecorded == known {
                continue;
            }
            batch.exports.unrecorded.push((*number, unrecorded));
            // Less than was known are those of new ledgers.
            let Some(packets) = unrecorded.packets.checked_sub(known.packets) else { continue };
            let loss = Loss { packets, bytes: unrecorded.bytes.saturating_sub(known.bytes), records: 0 };
            batch.records.extend(books.registry.interface(*number).map(|interface| {
                FlowRecord::new(interface, books.interval_began, ended, Observation::SkipData(loss))
            }));
        }
        Ok(())
    }

    /// An ENI's ledgers; none if it is not open yet, or gone by now.
    fn ledgers(&self, number: EniNumber) -> Result<Option<Ledgers>, EnidError> {
        match self.datapath.ledgers(number) {
            Ok(ledgers) => Ok(Some(ledgers)),
            Err(DatapathError::UnknownEni(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// What of an ENI is in no record, as a table had no room for its flow.
    fn unrecorded(&self, number: EniNumber) -> Result<Count, EnidError> {
        let ledgers = self.ledgers(number)?.unwrap_or_default();
        let mut unrecorded = Count::default();
        for direction in [Direction::Egress, Direction::Ingress] {
            let ledger = ledgers.of(direction);
            unrecorded.add(ledger.bucket(Bucket::Skipped));
            unrecorded.add(ledger.bucket(Bucket::Unrecorded));
        }
        Ok(unrecorded)
    }

    /// Writes records, and only then counts them as exported and deletes the entries that have ended. Returns how many
    /// records there were.
    fn write(&self, books: &mut Books, batch: Batch) -> Result<u64, EnidError> {
        let Batch { mut records, mut exports, .. } = batch;
        records.sort_by_key(|record| (record.start, record.end));
        let Books { records: complete, log, journal, exported, .. } = books;
        let number = exported.batch + 1;
        let reach = journal.begin(number, complete, log)?;
        let appended = log.append(&records).and_then(|()| complete.append(&records));
        if let Err(error) = appended {
            // In both folders or in neither.
            journal.take_back(number, &reach, complete, log)?;
            return Err(error.into());
        }
        exports.ending.interval = self.datapath.interval();
        exported.add(exports);
        exported.save(&self.snapshot)?;
        journal.end()?;
        delete(&self.datapath, &exported.ending.entries)?;
        exported.forget_ended();
        log.sync()?;
        let removed = complete.sync()?;
        if removed > 0 {
            exported.trim();
            exported.save(&self.snapshot)?;
            tracing::info!(
                removed,
                "removed the oldest files of records, to stay within record_directory_bytes"
            );
        }
        self.followers.send(&records);
        Ok(records.len() as u64)
    }
}

/// Calls `each` with every entry of both tables.
fn read(datapath: &Datapath, each: &mut dyn FnMut(FlowReading)) -> Result<(), EnidError> {
    datapath.read_flows(each)?;
    Ok(datapath.read_refusals(each)?)
}

/// Deletes entries of either table.
fn delete(datapath: &Datapath, entries: &[RefusalKey]) -> Result<(), EnidError> {
    let is_flow = |entry: &&RefusalKey| entry.reason == 0;
    let flows: Vec<FlowKey> = entries.iter().filter(is_flow).map(|entry| entry.flow).collect();
    let refusals: Vec<RefusalKey> = entries.iter().filter(|entry| !is_flow(entry)).copied().collect();
    datapath.delete_flows(&flows)?;
    Ok(datapath.delete_refusals(&refusals)?)
}

/// Unix seconds.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Opens a folder of records. A line that was torn when an earlier daemon was cut off is dropped: its counts were not
/// exported.
fn open_directory(
    config: &Config,
    path: &Path,
    format: Format,
    limit: Option<u64>,
) -> Result<LogDirectory, EnidError> {
    let options = LogDirectoryOptions {
        account: config.account()?,
        region: config.region()?,
        id: FlowLogId::derived_from("enid"),
        writer: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        format,
        max_total_bytes: limit,
    };
    let (directory, repaired) = LogDirectory::open(path, options)?;
    if repaired.files > 0 {
        tracing::warn!(path = %path.display(), files = repaired.files, bytes = repaired.bytes, "dropped torn lines");
    }
    Ok(directory)
}
