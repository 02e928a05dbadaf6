//! Sockets that the daemon made ahead, for connections to addresses: what is left to do is to connect them, at a connect's
//! own cost.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use enid_model::TrafficClass;

use super::channel::Channel;
use super::wire::{Family, MAX_SOCKETS};

/// On whose behalf sockets are, and of which family.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Kind {
    pub(super) task: Arc<str>,
    pub(super) class: TrafficClass,
    pub(super) family: Family,
}

/// How many sockets are asked for at a time.
pub(super) const BATCH: u8 = MAX_SOCKETS;
/// More are asked for when only so many are left.
const LOW: usize = 8;
/// How long sockets are kept: they hold the task's namespace.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sockets that are ready.
#[derive(Debug, Default)]
pub(super) struct Stock {
    shelves: Mutex<HashMap<Kind, Shelf>>,
}

#[derive(Debug, Default)]
struct Shelf {
    batches: Vec<Batch>,
    /// Whether more have been asked for.
    is_filling: bool,
}

/// Sockets, and the conversation in which they were given: it ends with the task.
#[derive(Debug)]
struct Batch {
    lease: Arc<Channel>,
    sockets: Vec<OwnedFd>,
}

impl Stock {
    /// A socket of a task that is there, if one is ready; and whether the caller is to ask for more.
    pub(super) fn take(&self, kind: &Kind) -> (Option<OwnedFd>, bool) {
        let mut shelves = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        let shelf = shelves.entry(kind.clone()).or_default();
        shelf.batches.retain(|batch| !batch.sockets.is_empty() && batch.lease.is_quiet());
        let socket = shelf.batches.first_mut().and_then(|batch| batch.sockets.pop());
        let left: usize = shelf.batches.iter().map(|batch| batch.sockets.len()).sum();
        let is_low = left < LOW && !shelf.is_filling;
        shelf.is_filling |= is_low;
        (socket, is_low)
    }

    /// Takes in what was asked for; nothing if it can't be had. In a runtime.
    pub(super) fn put(self: &Arc<Self>, kind: Kind, filled: Option<(Channel, Vec<OwnedFd>)>) {
        let mut shelves = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        let shelf = shelves.entry(kind.clone()).or_default();
        shelf.is_filling = false;
        let Some((lease, sockets)) = filled else { return };
        let lease = Arc::new(lease);
        shelf.batches.push(Batch { lease: Arc::clone(&lease), sockets });
        tokio::spawn(expire(Arc::downgrade(self), kind, lease));
    }
}

/// Takes sockets off the shelf when their task has ended, or nobody wanted them for long.
async fn expire(stock: Weak<Stock>, kind: Kind, lease: Arc<Channel>) {
    // The daemon says nothing more in this conversation: it ends it.
    let _ = tokio::time::timeout(PATIENCE, lease.receive()).await;
    let Some(stock) = stock.upgrade() else { return };
    let mut shelves = stock.shelves.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(shelf) = shelves.get_mut(&kind) {
        shelf.batches.retain(|batch| !Arc::ptr_eq(&batch.lease, &lease));
        if shelf.batches.is_empty() && !shelf.is_filling {
            shelves.remove(&kind);
        }
    }
}
