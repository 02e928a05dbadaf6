//! Admission: how many creates and deletes are under way at once, and in which order the others wait.
//!
//! The kernel does the work under locks of its own, so that more at once would not be done sooner: each would only take
//! longer, and hold a thread and memory meanwhile. So a request waits at the door, which costs no thread, in the order of
//! arrival; there it can be given up without a trace. Whoever is through the door has a thread until the end, and takes its
//! turn in the stages inside, each of which has a lock of its own behind it.

mod histogram;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub(crate) use histogram::{Histogram, Times};

/// All stages of the daemon.
#[derive(Debug)]
pub(crate) struct Stages {
    /// The door of creates.
    pub(crate) create: Arc<Stage>,
    /// The door of deletes: they don't wait for creates, whose addresses and numbers they may be giving back.
    pub(crate) delete: Arc<Stage>,
    /// Making a namespace, where none was ready: the kernel sets up each of its parts, and most under a lock of their own.
    pub(crate) namespace: Arc<Stage>,
    /// Links, addresses, routes: the kernel's RTNL lock.
    pub(crate) link: Arc<Stage>,
    /// Writing a record: one transaction after the other.
    pub(crate) store: Arc<Stage>,
}

impl Stages {
    /// None is in any of them. `runtime` wakes who waits inside.
    pub(crate) fn new(runtime: &Handle) -> Self {
        let stage = |name, limit| Arc::new(Stage::new(name, limit, runtime.clone()));
        Self {
            create: stage("create", 4),
            delete: stage("delete", 4),
            namespace: stage("namespace", 2),
            link: stage("link", 2),
            store: stage("store", 1),
        }
    }

    /// All of them, doors first.
    pub(crate) fn all(&self) -> [&Stage; 5] {
        [&self.create, &self.delete, &self.namespace, &self.link, &self.store]
    }
}

/// Where only so many are at once.
#[derive(Debug)]
pub(crate) struct Stage {
    name: &'static str,
    limit: u32,
    /// First come, first served.
    turns: Arc<Semaphore>,
    runtime: Handle,
    waiting: AtomicU32,
    running: AtomicU32,
    admitted: AtomicU64,
    given_up: AtomicU64,
    waited: Histogram,
    ran: Histogram,
}

/// A stage at one moment.
#[derive(Debug)]
pub(crate) struct StageReading {
    pub(crate) name: &'static str,
    /// How many may be in it at once.
    pub(crate) limit: u32,
    /// How many are.
    pub(crate) running: u32,
    /// How many wait for it.
    pub(crate) waiting: u32,
    /// How many were admitted since the daemon started, those that are in it now among them.
    pub(crate) admitted: u64,
    /// How many went away while they waited.
    pub(crate) given_up: u64,
    /// How long those that were admitted had waited.
    pub(crate) waited: Times,
    /// How long those that have left were in it.
    pub(crate) ran: Times,
}

impl Stage {
    pub(crate) fn new(name: &'static str, limit: u32, runtime: Handle) -> Self {
        Self {
            name,
            limit,
            turns: Arc::new(Semaphore::new(limit as usize)),
            runtime,
            waiting: AtomicU32::new(0),
            running: AtomicU32::new(0),
            admitted: AtomicU64::new(0),
            given_up: AtomicU64::new(0),
            waited: Histogram::default(),
            ran: Histogram::default(),
        }
    }

    /// Waits for its turn, in the order in which this is first polled. Who drops the future has not been there, and those
    /// behind move up.
    pub(crate) async fn enter(self: &Arc<Self>) -> Turn {
        let wait = Wait { stage: self, since: Instant::now(), is_over: false };
        wait.stage.waiting.fetch_add(1, Ordering::Relaxed);
        // It is never closed; if it were, nobody would have to wait for his turn.
        let permit = Arc::clone(&self.turns).acquire_owned().await.ok();
        wait.end(permit)
    }

    /// The same for a thread that may block. There are few: those that are through the door.
    pub(crate) fn enter_blocking(self: &Arc<Self>) -> Turn {
        self.runtime.block_on(self.enter())
    }

    /// Whether somebody is in it, or waits.
    pub(crate) fn is_busy(&self) -> bool {
        self.running.load(Ordering::Relaxed) > 0 || self.waiting.load(Ordering::Relaxed) > 0
    }

    /// How it is now.
    pub(crate) fn read(&self) -> StageReading {
        StageReading {
            name: self.name,
            limit: self.limit,
            running: self.running.load(Ordering::Relaxed),
            waiting: self.waiting.load(Ordering::Relaxed),
            admitted: self.admitted.load(Ordering::Relaxed),
            given_up: self.given_up.load(Ordering::Relaxed),
            waited: self.waited.read(),
            ran: self.ran.read(),
        }
    }
}

/// Somebody who waits.
struct Wait<'a> {
    stage: &'a Arc<Stage>,
    since: Instant,
    is_over: bool,
}

impl Wait<'_> {
    fn end(mut self, permit: Option<OwnedSemaphorePermit>) -> Turn {
        self.is_over = true;
        let waited = self.since.elapsed();
        let stage = Arc::clone(self.stage);
        stage.running.fetch_add(1, Ordering::Relaxed);
        stage.admitted.fetch_add(1, Ordering::Relaxed);
        stage.waited.add(waited);
        Turn { stage, waited, began: Instant::now(), _permit: permit }
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.stage.waiting.fetch_sub(1, Ordering::Relaxed);
        if !self.is_over {
            self.stage.given_up.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Somebody who is in a stage, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    stage: Arc<Stage>,
    waited: Duration,
    began: Instant,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Turn {
    /// How long it has waited for it.
    pub(crate) fn waited(&self) -> Duration {
        self.waited
    }

    /// Does work on a thread that may block. It is done to its end, whether somebody waits for the outcome or not. The
    /// outcome is none if the daemon is stopping.
    pub(crate) async fn run<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let work = move || {
            let _until_the_end = self;
            work()
        };
        tokio::task::spawn_blocking(work).await.ok()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.stage.running.fetch_sub(1, Ordering::Relaxed);
        self.stage.ran.add(self.began.elapsed());
    }
}

#[cfg(test)]
mod tests;
