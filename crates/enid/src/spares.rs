//! Network namespaces that are kept ready: making one takes a third of what creating a task would (0.6 ms measured), and
//! needs to know nothing of the task.

use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use enid_netns::NetnsError;

use crate::eni::TaskNamespace;
use crate::{EnidError, lock};

/// How long nobody must have taken one before more are made: a burst of creates needs the kernel's locks for itself.
const PAUSE: Duration = Duration::from_millis(10);

/// Namespaces that are ready, and a thread that makes more.
#[derive(Debug)]
pub(crate) struct Spares {
    shelf: Arc<Shelf>,
}

#[derive(Debug)]
struct Shelf {
    wanted: usize,
    stock: Mutex<Stock>,
    taken: Condvar,
}

#[derive(Debug)]
struct Stock {
    ready: Vec<TaskNamespace>,
    last_taken: Instant,
}

impl Spares {
    /// Begins to make `wanted` namespaces ready.
    pub(crate) fn start(wanted: usize) -> Result<Self, EnidError> {
        let stock = Mutex::new(Stock { ready: Vec::new(), last_taken: Instant::now() });
        let shelf = Arc::new(Shelf { wanted, stock, taken: Condvar::new() });
        let weak = Arc::downgrade(&shelf);
        if wanted > 0 {
            let spawned = thread::Builder::new().name("enid-spares".to_owned()).spawn(move || refill(&weak));
            spawned.map_err(|source| NetnsError::System { action: "start a thread", source })?;
        }
        Ok(Self { shelf })
    }

    /// One that is ready, or else a new one.
    pub(crate) fn take(&self) -> Result<TaskNamespace, EnidError> {
        let ready = {
            let mut stock = lock(&self.shelf.stock);
            stock.last_taken = Instant::now();
            stock.ready.pop()
        };
        self.shelf.taken.notify_one();
        ready.map_or_else(|| Ok(TaskNamespace::create()?), Ok)
    }
}

impl Drop for Spares {
    fn drop(&mut self) {
        // The thread sees that nobody is left to make them for.
        self.shelf.taken.notify_one();
    }
}

/// Fills the shelf whenever it has been left alone for a while, for as long as it is there.
fn refill(shelf: &Weak<Shelf>) {
    while let Some(shelf) = shelf.upgrade() {
        let stock = lock(&shelf.stock);
        let quiet = stock.last_taken.elapsed();
        let wait = match (stock.ready.len() < shelf.wanted, quiet < PAUSE) {
            (true, false) => {
                drop(stock);
                match TaskNamespace::create() {
                    Ok(namespace) => lock(&shelf.stock).ready.push(namespace),
                    Err(error) => {
                        tracing::warn!(%error, "no namespace could be made ready");
                        thread::sleep(Duration::from_secs(1));
                    }
                }
                continue;
            }
            (true, true) => PAUSE.saturating_sub(quiet),
            (false, _) => Duration::from_secs(1),
        };
        let waited = shelf.taken.wait_timeout(stock, wait);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}
