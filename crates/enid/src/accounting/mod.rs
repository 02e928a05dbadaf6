//! From entries of the data path to flow records: what the programs counted in an interval is exported as differences.
//!
//! The way of a record: the interval is closed ([`Accounting::close_interval`]), the tables of flows and of refusals read
//! ([`Drain`]), each entry's counts compared with what was exported of it before ([`Exported`]), and what has come since
//! becomes a record of each ENI that it went through or was refused by ([`shares`], [`Registry`]), in the spool and sent to
//! whoever follows.

mod audit;
mod balances;
mod counters;
mod drain;
mod entries;
mod exported;
mod followers;
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

use enid_datapath::{Datapath, DatapathError, FlowKey, FlowReading, Ledgers, RefusalKey};
use enid_flowlog::{Aggregator, FlowRecord, Observation, no_data_records};
use enid_model::{EniNumber, Subnet, Task};
use enid_spool::{Balances, BatchWriter, Reader, Spool, SpoolOptions};
use tokio::sync::{broadcast, watch};

pub(crate) use audit::Balance;
pub(crate) use counters::{DirectionCounters, FlowTable};
pub(crate) use followers::Lines;

use drain::Drain;
use exported::{Ending, Exported};
use followers::Followers;
use registry::Registry;
use shares::ends_with;

use crate::config::Config;
use crate::daemon::Directories;
use crate::delivery::Deliveries;
use crate::flow_logs::FlowLogs;
use crate::networks::NetworkState;
use crate::services::ServiceFile;
use crate::{EnidError, lock};

/// The accounts of all ENIs.
#[derive(Debug)]
pub(crate) struct Accounting {
    datapath: Arc<Datapath>,
    networks: Arc<NetworkState>,
    /// How often records are made, in seconds.
    interval: watch::Sender<u32>,
    /// The same where no flow log wants it shorter.
    longest_interval: u32,
    /// The most flow entries.
    flow_capacity: u32,
    /// The spool's folder.
    spool_directory: PathBuf,
    /// Where what was exported is remembered across restarts.
    snapshot: PathBuf,
    books: Mutex<Books>,
    followers: Followers,
    deliveries: Arc<Deliveries>,
}

/// How often those who follow see what was counted.
const FOLLOWERS_LOOK: Duration = Duration::from_millis(400);

/// What of an interval is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// All that is left of it, and who was idle in it.
    Interval,
    /// What there is so far.
    Part,
}

/// What one hand must hold: records are written and totals kept in one go.
#[derive(Debug)]
struct Books {
    spool: Spool,
    exported: Exported,
    registry: Registry,
    /// Unix seconds of the current interval's beginning, and of the part of it that is not written yet: while somebody
    /// follows, an interval is written in parts.
    interval_began: u64,
    part_began: u64,
    /// When an interval was closed whose records are not written yet, in Unix seconds.
    closed: Option<u64>,
    /// The ENIs that have a record of the current interval.
    busy: HashSet<EniNumber>,
}

impl Accounting {
    /// Opens the books where an earlier daemon left them.
    pub(crate) fn open(
        config: &Config,
        directories: &Directories,
        datapath: Arc<Datapath>,
        networks: Arc<NetworkState>,
        flow_logs: Arc<FlowLogs>,
    ) -> Result<Self, EnidError> {
        let interval = config.flow_log.aggregation_interval_seconds.seconds();
        let spool_directory = directories.state.join("spool");
        let snapshot = directories.exported();
        let saved = Exported::load(&snapshot)?;
        let options = SpoolOptions::of_size(config.spool.max_bytes);
        let remembered = saved.as_ref().map(|exported| exported.batch);
        let (spool, repaired) = Spool::open(&spool_directory, options, remembered)?;
        let path = spool_directory.display();
        if let Some(last) = remembered.filter(|last| *last > spool.last()) {
            let first = spool.last() + 1;
            tracing::error!(%path, first, last, "batches are gone from the spool: what they had is in no record");
        } else if repaired.bytes > 0 {
            tracing::warn!(
                %path, repaired.bytes,
                "a daemon was cut off while it wrote records: they are written again"
            );
        }
        let mut exported = saved.unwrap_or_default();
        exported.batch = exported.batch.max(spool.last());
        let left = exported.reconcile(|each| read(&datapath, each))?;
        delete(&datapath, &left)?;
        datapath.recount_flows()?;
        let services = ServiceFile::open(config.services.ip_ranges.as_deref())?;
        let registry = Registry::new(config.account()?, config.region()?, services);
        let deliveries = Arc::new(Deliveries::new(
            flow_logs,
            directories.state.join("delivery"),
            &spool_directory,
            config.account()?,
            config.region()?,
        ));
        deliveries.batch_written(exported.batch);
        // What was counted while no daemon was there belongs to the first interval.
        let interval_began = last_end(&spool_directory, spool.last())?.unwrap_or_else(now);
        let books = Books {
            spool,
            exported,
            registry,
            interval_began,
            part_began: interval_began,
            // The last daemon may have ended in between.
            closed: Some(datapath.interval_began()?.max(interval_began)),
            busy: HashSet::new(),
        };
        Ok(Self {
            datapath,
            networks,
            interval: watch::Sender::new(interval),
            longest_interval: interval,
            flow_capacity: config.flow_table.capacity,
            spool_directory,
            snapshot,
            books: Mutex::new(books),
            followers: Followers::new(),
            deliveries,
        })
    }

    /// How often records are made, in seconds, and when that changes.
    pub(crate) fn interval(&self) -> watch::Receiver<u32> {
        self.interval.subscribe()
    }

    /// Sets how often records are made: as flow logs need it, in seconds; none if there are none.
    pub(crate) fn set_interval(&self, needed: Option<u32>) {
        let interval = needed.map_or(self.longest_interval, |needed| needed.min(self.longest_interval));
        self.interval.send_if_modified(|known| std::mem::replace(known, interval) != interval);
    }

    /// Where records go from here.
    pub(crate) fn deliveries(&self) -> &Arc<Deliveries> {
        &self.deliveries
    }

    /// Where the spool is.
    pub(crate) fn spool_directory(&self) -> &Path {
        &self.spool_directory
    }

    /// Each line of complete records, from now on.
    pub(crate) fn follow(&self) -> broadcast::Receiver<Arc<Lines>> {
        self.followers.follow()
    }

    /// Ends the streams of all who follow, and of those who come later: a server that stops waits for them.
    pub(crate) fn dismiss_followers(&self) {
        self.followers.dismiss();
    }

    /// How long until the current interval ends, on the wall clock that all hosts share.
    pub(crate) fn until_interval_ends(&self) -> Duration {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let interval = Duration::from_secs((*self.interval.borrow()).into());
        let into = Duration::from_nanos(
            u64::try_from(since_1970.as_nanos() % interval.as_nanos().max(1)).unwrap_or(0),
        );
        interval.saturating_sub(into)
    }

    /// How long until followers are to see what was counted meanwhile; none if there are none. `took` is how long writing it took
    /// the last time, which is to be a small part of all time.
    pub(crate) fn until_followers_look(&self, took: Duration) -> Option<Duration> {
        self.followers.is_followed().then(|| FOLLOWERS_LOOK.max(took * 9))
    }

    /// Waits until somebody begins to follow.
    pub(crate) async fn follower_came(&self) {
        self.followers.came().await;
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
        self.close(Extent::Interval)
    }

    /// Writes the records of what the current interval has so far, for who follows. It blocks.
    pub(crate) fn close_part(&self) -> Result<u64, EnidError> {
        self.close(Extent::Part)
    }

    fn close(&self, extent: Extent) -> Result<u64, EnidError> {
        let mut books = lock(&self.books);
        // One that could not be written stays open for no other: an interval's records and its balances are of the same packets.
        let mut written = self.write_closed(&mut books, Extent::Part)?;
        // To the programs a part is an interval like any other: what counts from now on belongs to the next one.
        self.datapath.advance_interval()?;
        books.closed = Some(now());
        books.registry.refresh_services();
        written += self.write_closed(&mut books, extent)?;
        if extent == Extent::Interval {
            books.interval_began = books.part_began;
            books.busy.clear();
        }
        Ok(written)
    }

    /// Writes the interval that is closed, if there is one.
    fn write_closed(&self, books: &mut Books, extent: Extent) -> Result<u64, EnidError> {
        let Some(ended) = books.closed else { return Ok(0) };
        let written = self.export(books, extent, ended, &[])?;
        (books.part_began, books.closed) = (ended, None);
        Ok(written)
    }

    /// Writes the last records of ENIs whose links are gone, and closes their accounts. It blocks.
    ///
    /// They were closed before, so nothing counts for them any more, once the programs that began earlier are done.
    pub(crate) fn retire(&self, numbers: &[EniNumber]) -> Result<(), EnidError> {
        // Those of other ENIs, which deleting the links need not have waited for.
        self.datapath.wait_for_programs()?;
        let mut books = lock(&self.books);
        self.export(&mut books, Extent::Part, now(), numbers)?;
        for number in numbers {
            books.registry.remove(*number);
            books.exported.forget_eni(*number);
        }
        books.exported.save(&self.snapshot)
    }

    /// Writes the records of all closed intervals, or those of ENIs that are `gone` to the last packet. Only when they
    /// are written do they count as exported, and are the entries that have ended deleted.
    fn export(
        &self,
        books: &mut Books,
        extent: Extent,
        ended: u64,
        gone: &[EniNumber],
    ) -> Result<u64, EnidError> {
        let has_deleted = books.exported.ending.entries.is_empty();
        let mut followed = self.followers.is_followed().then(Aggregator::default);
        let written = match self.write(books, extent, ended, gone, followed.as_mut()) {
            Ok(written) => written,
            Err(error) => {
                // As it was before: what was counted is still in the tables.
                books.exported = Exported::load(&self.snapshot)?.unwrap_or_default();
                if has_deleted {
                    books.exported.forget_ended();
                }
                return Err(error);
            }
        };
        let Books { spool, exported, .. } = books;
        exported.batch = spool.last();
        exported.save(&self.snapshot)?;
        delete(&self.datapath, &exported.ending.entries)?;
        exported.forget_ended();
        self.deliveries.batch_written(exported.batch);
        if let Some(records) = followed {
            self.followers.send(&records.finish());
        }
        let mut removed = 0;
        while let Some((first, last)) = spool.surplus() {
            self.deliveries.give_up(first, last)?;
            spool.remove(first)?;
            exported.trim();
            removed += 1;
        }
        if removed > 0 {
            exported.save(&self.snapshot)?;
            tracing::info!(removed, "removed the oldest segments of the spool, to stay within its max_bytes");
        }
        Ok(written)
    }

    /// Writes a batch of records; `exported` has them, and what has ended with them, if there is no error.
    fn write(
        &self,
        books: &mut Books,
        extent: Extent,
        ended: u64,
        gone: &[EniNumber],
        mut followed: Option<&mut Aggregator>,
    ) -> Result<u64, EnidError> {
        let networks = self.networks.current();
        let began = books.part_began;
        let open = gone.is_empty().then(|| self.datapath.interval());
        let Books { spool, exported, registry, interval_began, busy, .. } = books;
        // After a reboot nothing is saved before the first batch is; the spool has those of before.
        let number = exported.batch.max(spool.last()) + 1;
        let mut batch = spool.begin(number, began, ended)?;
        let mut write = |batch: &mut BatchWriter<'_>, record: FlowRecord| {
            batch.push(&record)?;
            if let Some(followed) = &mut followed {
                followed.add(record);
            }
            Ok::<_, EnidError>(())
        };
        let mut drain = Drain::new(exported, registry, &networks, open, (began, ended));
        let mut outcome = Ok(());
        read(&self.datapath, &mut |flow| {
            let is_gone = ends_with(&flow, |eni| gone.contains(&eni));
            if outcome.is_ok() && (gone.is_empty() || is_gone) {
                outcome = drain.entry(&flow, is_gone, &mut |record| write(&mut batch, record));
            }
        })?;
        outcome?;
        let Drain { busy: busy_now, ahead, ending, .. } = drain;
        busy.extend(busy_now);
        let all = registry.numbers();
        let numbers = if gone.is_empty() { &all[..] } else { gone };
        let windows: &[usize] = match open {
            // The other one is closed.
            Some(open) => &[1 - open.window()],
            None => &[0, 1],
        };
        let mut balances = Vec::new();
        for number in numbers {
            let (Some(ledgers), Some(interface)) = (self.ledgers(*number)?, registry.interface(*number))
            else {
                continue;
            };
            let [egress, ingress] = exported.balance(*number, &ledgers, windows);
            let loss = balances::loss([&egress, &ingress]);
            balances.push(Balances { interface: Arc::clone(&interface), egress, ingress });
            if loss.packets > 0 {
                busy.insert(*number);
                write(&mut batch, FlowRecord::new(interface, began, ended, Observation::SkipData(loss)))?;
            }
        }
        for (number, counts) in ahead.into_iter().filter(|(number, _)| !gone.contains(number)) {
            let Some(interface) = registry.interface(number) else { continue };
            let [egress, ingress] = exported.balance_ahead(number, counts);
            balances.push(Balances { interface, egress, ingress });
        }
        balances.retain(|balances| !(balances.egress.is_empty() && balances.ingress.is_empty()));
        if extent == Extent::Interval {
            let idle = all.iter().filter(|number| !busy.contains(number));
            let idle = idle.filter_map(|number| registry.interface(*number));
            for record in no_data_records(idle, *interval_began, ended) {
                write(&mut batch, record)?;
            }
        }
        exported.ending = Ending {
            entries: ending,
            interval: self.datapath.interval(),
            enis: gone.iter().map(|number| number.get()).collect(),
        };
        if extent == Extent::Part && batch.is_empty() && balances.is_empty() {
            // No batch at all.
            return Ok(0);
        }
        Ok(batch.commit(&balances)?)
    }

    /// An ENI's ledgers; none if it is not open yet, or gone by now.
    fn ledgers(&self, number: EniNumber) -> Result<Option<Ledgers>, EnidError> {
        match self.datapath.ledgers(number) {
            Ok(ledgers) => Ok(Some(ledgers)),
            Err(DatapathError::UnknownEni(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
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

/// When the last batch of a spool ended, in Unix seconds.
fn last_end(folder: &Path, last: u64) -> Result<Option<u64>, EnidError> {
    let mut reader = Reader::open(folder, last.saturating_sub(1))?;
    Ok(reader.next_batch()?.map(|batch| batch.ended))
}

/// Unix seconds.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
