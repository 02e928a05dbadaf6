//! Delivery: from the spool to the destinations of flow logs.
//!
//! Each flow log has a worker of its own, so that a destination that is slow or down holds up nobody else. It gathers what
//! is complete ([`parcel`]), hands it over ([`way`]), and only then moves its [`cursor`]; what fails is repeated. What the
//! spool has no room for any more is given up, and said in SKIPDATA records.

mod cursor;
mod parcel;
#[cfg(test)]
mod tests;
mod way;
mod worker;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use enid_delivery::FlowLog;
use enid_flowlog::{FlowLogId, Loss};
use enid_model::Name;
use enid_spool::Reader;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use cursor::Cursor;
pub(crate) use way::probe;

use crate::flow_logs::FlowLogs;
use crate::{EnidError, lock};

/// How long a flush waits for destinations.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(30);

/// What a flow log's delivery has come to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress {
    /// The batch of the spool after which the flow log begins.
    pub(crate) after: u64,
    /// The last batch that is delivered.
    pub(crate) delivered: u64,
    /// How many records were delivered since the daemon started.
    pub(crate) records: u64,
    /// What was given up since the flow log was created.
    pub(crate) lost: Loss,
    /// What is wrong with the destination, while it is.
    pub(crate) problem: Option<String>,
}

/// A flow log's cursor, and who watches it.
type Shared = Arc<Line>;

#[derive(Debug)]
struct Line {
    flow_log: Arc<FlowLog>,
    cursor: Mutex<Cursor>,
    progress: watch::Sender<Progress>,
}

/// The deliveries of all flow logs.
#[derive(Debug)]
pub(crate) struct Deliveries {
    flow_logs: Arc<FlowLogs>,
    /// Where cursors are kept.
    folder: PathBuf,
    spool: PathBuf,
    /// Of the files' names.
    account: Name,
    region: Name,
    /// The last batch that is written, and remembered to be.
    written: watch::Sender<u64>,
    /// Up to this batch what is there is delivered at once, complete or not.
    forced: watch::Sender<u64>,
    lines: Mutex<HashMap<FlowLogId, Shared>>,
}

impl Deliveries {
    pub(crate) fn new(
        flow_logs: Arc<FlowLogs>,
        folder: PathBuf,
        spool: &Path,
        account: Name,
        region: Name,
    ) -> Self {
        Self {
            flow_logs,
            folder,
            spool: spool.to_owned(),
            account,
            region,
            written: watch::Sender::new(0),
            forced: watch::Sender::new(0),
            lines: Mutex::default(),
        }
    }

    /// Tells the workers that a batch is written, and will not be taken back.
    pub(crate) fn batch_written(&self, batch: u64) {
        self.written.send_replace(batch);
    }

    /// How a flow log's delivery goes.
    pub(crate) fn progress(&self, id: FlowLogId) -> Option<Progress> {
        lock(&self.lines).get(&id).map(|line| line.progress.borrow().clone())
    }

    /// Counts batches that are about to be removed from the spool as lost to the flow logs that they were not delivered to.
    /// It blocks.
    pub(crate) fn give_up(&self, first: u64, last: u64) -> Result<(), EnidError> {
        let lines: Vec<Shared> = lock(&self.lines).values().cloned().collect();
        for line in lines {
            let flow_log = &line.flow_log;
            let mut cursor = lock(&line.cursor);
            if cursor.delivered >= last {
                continue;
            }
            let mut reader = Reader::open(&self.spool, cursor.delivered.max(first.saturating_sub(1)))?;
            let mut sum = Loss::default();
            while let Some(mut batch) = reader.next_batch()?.filter(|batch| batch.number <= last) {
                let (began, ended) = (batch.began, batch.ended);
                parcel::each(flow_log, &mut batch, |record, is_wanted| {
                    if is_wanted {
                        sum = cursor.lose(&record, (began, ended), sum);
                    }
                })?;
            }
            (cursor.delivered, cursor.delivering) = (last, None);
            cursor.save(&self.folder, flow_log.id)?;
            tracing::error!(
                flow_log = %flow_log.name, destination = %flow_log.destination,
                sum.records, sum.packets, sum.bytes,
                "gave up records that could not be delivered before the spool was full"
            );
            line.progress.send_modify(|progress| {
                progress.delivered = last;
                progress.lost = cursor.total_lost();
            });
        }
        Ok(())
    }

    /// Delivers what is written so far, whether or not its interval is over, and waits until it is delivered. A
    /// destination that fails is not waited for.
    pub(crate) async fn flush(&self) {
        let batch = *self.written.borrow();
        self.forced.send_replace(batch);
        let lines: Vec<Shared> = lock(&self.lines).values().cloned().collect();
        let all = async {
            for line in lines {
                let mut progress = line.progress.subscribe();
                let is_done = |progress: &Progress| progress.delivered >= batch || progress.problem.is_some();
                // The worker may end meanwhile, with its flow log.
                let _ = progress.wait_for(is_done).await;
            }
        };
        if tokio::time::timeout(FLUSH_TIMEOUT, all).await.is_err() {
            tracing::warn!("a flush did not wait for all destinations");
        }
    }

    /// Has a worker for each flow log, until it is told to stop. `set_interval` is told how often records are needed, in
    /// seconds: the greatest length that all flow logs' intervals are multiples of.
    pub(crate) async fn run(
        self: Arc<Self>,
        set_interval: impl Fn(Option<u32>),
        mut stopping: watch::Receiver<bool>,
    ) {
        let mut changed = self.flow_logs.changed();
        let mut workers: HashMap<FlowLogId, Worker> = HashMap::new();
        loop {
            let current = Arc::clone(&changed.borrow_and_update());
            set_interval(current.iter().map(|flow_log| flow_log.interval.seconds()).reduce(greatest_divisor));
            let is_there = |worker: &Worker| current.contains(&worker.flow_log);
            let leaving: Vec<FlowLogId> =
                workers.iter().filter(|(_, worker)| !is_there(worker)).map(|(id, _)| *id).collect();
            for id in leaving {
                if let Some(worker) = workers.remove(&id) {
                    worker.stop().await;
                }
                if current.iter().all(|flow_log| flow_log.id != id) {
                    lock(&self.lines).remove(&id);
                    Cursor::remove(&self.folder, id);
                }
            }
            for flow_log in current.iter() {
                if workers.contains_key(&flow_log.id) {
                    continue;
                }
                match self.start(flow_log) {
                    Ok(worker) => drop(workers.insert(flow_log.id, worker)),
                    Err(error) => tracing::error!(%error, flow_log = %flow_log.name, "can't deliver"),
                }
            }
            let is_stopping = tokio::select! {
                changed = changed.changed() => changed.is_err(),
                _ = stopping.wait_for(|stopping| *stopping) => true,
            };
            if is_stopping {
                break;
            }
        }
        for (_, worker) in workers {
            worker.stop().await;
        }
    }

    /// Starts a flow log's worker, from where the last one was.
    fn start(self: &Arc<Self>, flow_log: &Arc<FlowLog>) -> Result<Worker, EnidError> {
        let cursor = if let Some(cursor) = Cursor::load(&self.folder, flow_log.id)? {
            cursor
        } else {
            let cursor = Cursor::new(*self.written.borrow());
            cursor.save(&self.folder, flow_log.id)?;
            cursor
        };
        let progress = Progress {
            after: cursor.after,
            delivered: cursor.delivered,
            lost: cursor.total_lost(),
            ..Progress::default()
        };
        let line = Arc::new(Line {
            flow_log: Arc::clone(flow_log),
            cursor: Mutex::new(cursor),
            progress: watch::Sender::new(progress),
        });
        lock(&self.lines).insert(flow_log.id, Arc::clone(&line));
        let (stop, stopped) = watch::channel(false);
        let work = worker::work(Arc::clone(self), line, stopped);
        Ok(Worker { flow_log: Arc::clone(flow_log), stop, handle: tokio::spawn(work) })
    }
}

#[derive(Debug)]
struct Worker {
    flow_log: Arc<FlowLog>,
    stop: watch::Sender<bool>,
    handle: JoinHandle<()>,
}

impl Worker {
    /// Stops it; what it has not delivered, its successor does.
    async fn stop(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.handle.await {
            tracing::error!(%error, flow_log = %self.flow_log.name, "a worker failed");
        }
    }
}

/// Euclid's.
const fn greatest_divisor(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}
