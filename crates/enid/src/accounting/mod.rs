//! From flow entries to flow records: what the programs counted in an interval is exported as differences.
//!
//! The way of a record: the interval is closed ([`Accounting::close_interval`]), the flow table read, each flow's counts
//! compared with what was exported of it before ([`Exported`]), and what has come since becomes a record of the ENI it
//! belongs to ([`Registry`]), written to both folders and sent to whoever follows.

mod audit;
mod counters;
mod exported;
mod journal;
mod registry;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use enid_datapath::{Bucket, Datapath, DatapathError, FlowReading, Interval, Ledger, Ledgers};
use enid_flowlog::{
    FlowLogId, FlowRecord, Format, LogDirectory, LogDirectoryOptions, Observation, no_data_records,
};
use enid_model::{EniNumber, Subnet, Task};
use tokio::sync::broadcast;

pub(crate) use audit::Balance;
pub(crate) use counters::DirectionCounters;
use exported::{Export, Exported};
use journal::Journal;
use registry::Registry;

use crate::config::Config;
use crate::daemon::Directories;
use crate::networks::NetworkState;
use crate::{EnidError, lock};

/// How many lines a follower may lag behind before it misses some.
const FOLLOW_BACKLOG: usize = 4096;

/// The accounts of all ENIs.
#[derive(Debug)]
pub(crate) struct Accounting {
    datapath: Arc<Datapath>,
    networks: Arc<NetworkState>,
    interval: Duration,
    /// Complete records, for enid's own reading.
    record_directory: PathBuf,
    /// Records in the configured format.
    log_directory: PathBuf,
    format: Format,
    /// Where what was exported is remembered across restarts.
    snapshot: PathBuf,
    journal: Journal,
    books: Mutex<Books>,
    /// None when the daemon stops.
    followers: Mutex<Option<broadcast::Sender<Arc<str>>>>,
}

/// What one hand must hold: records are written and totals kept in one go.
#[derive(Debug)]
struct Books {
    records: LogDirectory,
    log: LogDirectory,
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
        let journal = Journal::at(directories.journal());
        journal.recover(&mut records, &mut log)?;
        let mut exported = Exported::load(&snapshot)?;
        exported.reconcile(&datapath)?;
        let registry = Registry::new(config.account()?, config.region()?);
        let books = Books { records, log, exported, registry, interval_began: now() };
        Ok(Self {
            datapath,
            networks,
            interval,
            record_directory,
            log_directory,
            format: config.flow_log.format.clone(),
            snapshot,
            journal,
            books: Mutex::new(books),
            followers: Mutex::new(Some(broadcast::Sender::new(FOLLOW_BACKLOG))),
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
        match &*lock(&self.followers) {
            Some(followers) => followers.subscribe(),
            // Whose end is there already.
            None => broadcast::Sender::new(1).subscribe(),
        }
    }

    /// Ends the streams of all who follow, and of those who come later: a server that stops waits for them.
    pub(crate) fn dismiss_followers(&self) {
        lock(&self.followers).take();
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
    /// If they can't be written, nothing is lost: what was counted is still in the flow table, and the next interval's
    /// records have it.
    pub(crate) fn close_interval(&self) -> Result<u64, EnidError> {
        let mut books = lock(&self.books);
        self.datapath.advance_interval()?;
        // What counts from now on belongs to the next interval.
        let open = Some(self.datapath.interval());
        let mut batch = Batch::default();
        let mut expired = Vec::new();
        self.datapath.read_flows(&mut |flow| {
            books.collect(&self.networks, &flow, open, &mut batch);
            if flow.expired {
                expired.push(flow.key);
            }
        })?;
        let (began, ended) = (books.interval_began, now());
        for number in books.registry.numbers() {
            let skipped = self.skipped(number)?;
            if let Some(interface) = books.registry.skipped(number, skipped) {
                let observation = Observation::SkipData;
                batch.records.push(FlowRecord { interface, start: began, end: ended, observation });
            }
        }
        let idle = books.registry.idle(&batch.records);
        batch.records.extend(no_data_records(idle, began, ended));
        let written = self.write(&mut books, batch)?;
        books.interval_began = ended;
        // Remembered for nothing if this daemon ends here: the next one finds no such entries, and forgets them.
        self.datapath.delete_flows(&expired)?;
        books.exported.forget(&expired);
        Ok(written)
    }

    /// Writes the last records of ENIs whose links are gone, and closes their accounts. It blocks.
    ///
    /// Deleting a device waits until no program runs on it, so nothing counts for them any more.
    pub(crate) fn retire(&self, numbers: &[EniNumber]) -> Result<(), EnidError> {
        let mut books = lock(&self.books);
        let mut batch = Batch::default();
        let mut keys = Vec::new();
        self.datapath.read_flows(&mut |flow| {
            if numbers.contains(&flow.eni) {
                books.collect(&self.networks, &flow, None, &mut batch);
                keys.push(flow.key);
            }
        })?;
        self.write(&mut books, batch)?;
        self.datapath.delete_flows(&keys)?;
        books.exported.forget(&keys);
        for number in numbers {
            books.registry.remove(*number);
            books.exported.forget_eni(*number);
        }
        books.exported.save(&self.snapshot)
    }

    /// An ENI's ledgers; none if it is not open yet, or gone by now.
    fn ledgers(&self, number: EniNumber) -> Result<Option<Ledgers>, EnidError> {
        match self.datapath.ledgers(number) {
            Ok(ledgers) => Ok(Some(ledgers)),
            Err(DatapathError::UnknownEni(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// How many packets of an ENI the flow table had no room for.
    fn skipped(&self, number: EniNumber) -> Result<u64, EnidError> {
        let ledgers = self.ledgers(number)?.unwrap_or_default();
        let skipped = |ledger: &Ledger| ledger.bucket(Bucket::Skipped).packets;
        Ok(skipped(&ledgers.egress) + skipped(&ledgers.ingress))
    }

    /// Writes records, and only then counts them as exported. Returns how many there were.
    fn write(&self, books: &mut Books, batch: Batch) -> Result<u64, EnidError> {
        let Batch { mut records, exports } = batch;
        records.sort_by_key(|record| (record.start, record.end));
        let note = self.journal.begin(&books.records, &books.log)?;
        let appended = books.log.append(&records).and_then(|()| books.records.append(&records));
        if let Err(error) = appended {
            // In both folders or in neither.
            self.journal.take_back(&note, &mut books.records, &mut books.log)?;
            return Err(error.into());
        }
        for export in exports {
            books.exported.add(export);
        }
        books.exported.save(&self.snapshot)?;
        self.journal.end()?;
        books.log.sync()?;
        let removed = books.records.sync()?;
        if removed > 0 {
            books.exported.trim();
            books.exported.save(&self.snapshot)?;
            tracing::info!(
                removed,
                "removed the oldest files of records, to stay within record_directory_bytes"
            );
        }
        let followers = lock(&self.followers).clone();
        if let Some(followers) = followers.filter(|followers| followers.receiver_count() > 0) {
            let format = Format::complete();
            for record in &records {
                let mut line = String::new();
                format.render(record, &mut line);
                // There may be no follower left by now.
                let _ = followers.send(line.into());
            }
        }
        Ok(records.len() as u64)
    }
}

/// What is to be written together.
#[derive(Debug, Default)]
struct Batch {
    records: Vec<FlowRecord>,
    exports: Vec<Export>,
}

impl Books {
    /// Makes records of what a flow has counted and was not exported yet, but for the interval that is still open: its
    /// window changes under our eyes, and its turn comes.
    fn collect(
        &self,
        networks: &NetworkState,
        flow: &FlowReading,
        open: Option<Interval>,
        batch: &mut Batch,
    ) {
        for (window, reading) in flow.windows.iter().enumerate() {
            if Some(reading.interval) == open {
                continue;
            }
            let count = self.exported.pending(flow, window);
            if count.packets == 0 {
                continue;
            }
            if let Some(record) = self.registry.record(networks, flow, reading, count) {
                batch.records.push(record);
                batch.exports.push(Export {
                    key: flow.key,
                    window,
                    direction: flow.direction,
                    class: flow.class,
                    count,
                });
            }
        }
    }
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
