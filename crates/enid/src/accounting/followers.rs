//! Those who follow: each record, as it is written.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use enid_flowlog::{FlowRecord, Format};
use tokio::sync::{Notify, broadcast};

use crate::lock;

/// How many lines are sent together, at most.
const TOGETHER: usize = 1024;
/// How many such bundles a follower may lag behind before it misses some: with 400 bytes a line, 26 MB.
const BACKLOG: usize = 64;

/// Lines of complete records.
#[derive(Debug)]
pub(crate) struct Lines {
    /// How many came before, since the daemon started.
    pub(crate) before: u64,
    pub(crate) lines: Vec<String>,
}

/// Whoever follows.
#[derive(Debug)]
pub(super) struct Followers {
    /// None when the daemon stops.
    sender: Mutex<Option<broadcast::Sender<Arc<Lines>>>>,
    sent: AtomicU64,
    /// Tells that somebody has come.
    came: Notify,
}

impl Followers {
    pub(super) fn new() -> Self {
        let sender = Mutex::new(Some(broadcast::Sender::new(BACKLOG)));
        Self { sender, sent: AtomicU64::new(0), came: Notify::new() }
    }

    /// Each line of complete records, from now on.
    pub(super) fn follow(&self) -> broadcast::Receiver<Arc<Lines>> {
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
        for records in records.chunks(TOGETHER) {
            let line = |record: &FlowRecord| {
                let mut line = String::new();
                format.render(record, &mut line);
                line
            };
            let lines: Vec<String> = records.iter().map(line).collect();
            let before = self.sent.fetch_add(lines.len() as u64, Ordering::Relaxed);
            // There may be no follower left by now.
            let _ = sender.send(Arc::new(Lines { before, lines }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{entry, number, registry};
    use super::*;
    use enid_datapath::Count;
    use enid_model::Networks;

    #[test]
    fn a_burst_comes_in_bundles_that_tell_what_came_before() {
        let (registry, _) = registry(1);
        let flow = entry(0, 80);
        let share = super::super::shares::shares(&flow).next().unwrap();
        assert_eq!(share.eni, number(0));
        let record = registry
            .record(&Networks::default(), &flow, share, &flow.windows[0], Count { packets: 1, bytes: 40 })
            .unwrap();
        let followers = Followers::new();
        followers.send(std::slice::from_ref(&record));
        let mut receiver = followers.follow();
        followers.send(&vec![record.clone(); 5_000]);
        followers.send(&[record]);
        let mut next = 0;
        while let Ok(bundle) = receiver.try_recv() {
            // What nobody followed is not counted.
            assert_eq!(bundle.before, next);
            assert!(!bundle.lines.is_empty() && bundle.lines.len() <= TOGETHER);
            next += bundle.lines.len() as u64;
        }
        assert_eq!(next, 5_001);
    }
}
