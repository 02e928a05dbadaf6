//! Those who follow: each record, as it is written.

use std::sync::{Arc, Mutex};

use enid_flowlog::{FlowRecord, Format};
use tokio::sync::{Notify, broadcast};

use crate::lock;

/// How many lines a follower may lag behind before it misses some.
const BACKLOG: usize = 4096;

/// Whoever follows.
#[derive(Debug)]
pub(super) struct Followers {
    /// None when the daemon stops.
    sender: Mutex<Option<broadcast::Sender<Arc<str>>>>,
    /// Tells that somebody has come.
    came: Notify,
}

impl Followers {
    pub(super) fn new() -> Self {
        Self { sender: Mutex::new(Some(broadcast::Sender::new(BACKLOG))), came: Notify::new() }
    }

    /// Each line of complete records, from now on.
    pub(super) fn follow(&self) -> broadcast::Receiver<Arc<str>> {
        match &*lock(&self.sender) {
            Some(sender) => {
                self.came.notify_one();
                sender.subscribe()
            }
            // Whose end is there already.
            None => broadcast::Sender::new(1).subscribe(),
        }
    }

    /// Ends the streams of all who follow, and of those who come later: a server that stops waits for them.
    pub(super) fn dismiss(&self) {
        lock(&self.sender).take();
    }

    /// Waits until somebody comes.
    pub(super) async fn came(&self) {
        self.came.notified().await;
    }

    /// Whether anybody follows.
    pub(super) fn is_followed(&self) -> bool {
        lock(&self.sender).as_ref().is_some_and(|sender| sender.receiver_count() > 0)
    }

    pub(super) fn send(&self, records: &[FlowRecord]) {
        let sender = lock(&self.sender).clone();
        let Some(sender) = sender.filter(|sender| sender.receiver_count() > 0) else { return };
        let format = Format::complete();
        for record in records {
            let mut line = String::new();
            format.render(record, &mut line);
            // There may be no follower left by now.
            let _ = sender.send(line.into());
        }
    }
}
