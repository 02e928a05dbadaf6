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
    kinds: Mutex<HashMap<Kind, Ready>>,
}

#[derive(Debug, Default)]
struct Ready {
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
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let ready = kinds.entry(kind.clone()).or_default();
        ready.batches.retain(|batch| !batch.sockets.is_empty() && batch.lease.is_quiet());
        let socket = ready.batches.first_mut().and_then(|batch| batch.sockets.pop());
        let left: usize = ready.batches.iter().map(|batch| batch.sockets.len()).sum();
        let is_low = left < LOW && !ready.is_filling;
        ready.is_filling |= is_low;
        (socket, is_low)
    }

    /// Takes in what was asked for; nothing if it can't be had. In a runtime.
    pub(super) fn put(self: &Arc<Self>, kind: Kind, filled: Option<(Channel, Vec<OwnedFd>)>) {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let ready = kinds.entry(kind.clone()).or_default();
        ready.is_filling = false;
        let Some((lease, sockets)) = filled else { return };
        let lease = Arc::new(lease);
        ready.batches.push(Batch { lease: Arc::clone(&lease), sockets });
        tokio::spawn(expire(Arc::downgrade(self), kind, lease));
    }
}

/// Takes sockets away when their task has ended, or nobody wanted them for long.
async fn expire(stock: Weak<Stock>, kind: Kind, lease: Arc<Channel>) {
    // The daemon says nothing more in this conversation: it ends it.
    let _ = tokio::time::timeout(PATIENCE, lease.receive()).await;
    let Some(stock) = stock.upgrade() else { return };
    let mut kinds = stock.kinds.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(ready) = kinds.get_mut(&kind) {
        ready.batches.retain(|batch| !Arc::ptr_eq(&batch.lease, &lease));
        if ready.batches.is_empty() && !ready.is_filling {
            kinds.remove(&kind);
        }
    }
}
