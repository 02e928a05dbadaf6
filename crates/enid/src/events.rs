//! What happens, for whoever watches.

use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use enid_model::{EniId, TaskName};
use tokio::sync::broadcast;

use crate::lock;

/// How many events a watcher may lag behind before it misses some.
const BACKLOG: usize = 4096;

/// What kind of thing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EventKind {
    /// A task's ENI has its id and its addresses, and is being made.
    TaskCreated,
    /// A task is whole.
    TaskReady,
    /// A task could not be created.
    TaskFailed,
    /// A task was deleted.
    TaskDeleted,
    /// What is declared of networks is other than before, and in force.
    PolicyChanged,
    /// The flow table is about to be full.
    FlowTableFilling,
}

impl EventKind {
    /// All kinds.
    pub(crate) const ALL: [Self; 6] = [
        Self::TaskCreated,
        Self::TaskReady,
        Self::TaskFailed,
        Self::TaskDeleted,
        Self::PolicyChanged,
        Self::FlowTableFilling,
    ];

    /// Its name.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::TaskCreated => "task-created",
            Self::TaskReady => "task-ready",
            Self::TaskFailed => "task-failed",
            Self::TaskDeleted => "task-deleted",
            Self::PolicyChanged => "policy-changed",
            Self::FlowTableFilling => "flow-table-filling",
        }
    }
}

/// Something that happened.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) kind: EventKind,
    /// From 1, in the order in which they happened.
    pub(crate) sequence: u64,
    pub(crate) unix_milliseconds: u64,
    pub(crate) task: Option<TaskName>,
    pub(crate) eni: Option<EniId>,
    pub(crate) details: Vec<String>,
}

/// Tells watchers what happens. It never waits for one.
#[derive(Debug)]
pub(crate) struct Events {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    last: u64,
    /// None when the daemon stops.
    sender: Option<broadcast::Sender<Event>>,
}

impl Default for Events {
    fn default() -> Self {
        Self { state: Mutex::new(State { last: 0, sender: Some(broadcast::Sender::new(BACKLOG)) }) }
    }
}

impl Events {
    /// Something happened to a task.
    pub(crate) fn task(&self, kind: EventKind, name: &TaskName, eni: Option<EniId>, details: Vec<String>) {
        self.send(kind, Some(name.clone()), eni, details);
    }

    /// Something happened to the host.
    pub(crate) fn host(&self, kind: EventKind, details: Vec<String>) {
        self.send(kind, None, None, details);
    }

    fn send(&self, kind: EventKind, task: Option<TaskName>, eni: Option<EniId>, details: Vec<String>) {
        // Sent under the lock, so that they come in the order of their numbers.
        let mut state = lock(&self.state);
        state.last += 1;
        let event = Event { kind, sequence: state.last, unix_milliseconds: now(), task, eni, details };
        if let Some(sender) = &state.sender {
            // Often nobody watches.
            let _ = sender.send(event);
        }
    }

    /// What happens from now on, and the number of the last event before.
    pub(crate) fn watch(&self) -> (broadcast::Receiver<Event>, u64) {
        let state = lock(&self.state);
        let receiver = match &state.sender {
            Some(sender) => sender.subscribe(),
            // Whose end is there already.
            None => broadcast::Sender::new(1).subscribe(),
        };
        (receiver, state.last)
    }

    /// Ends the streams of all who watch, and of those who come later: a server that stops waits for them.
    pub(crate) fn dismiss(&self) {
        lock(&self.state).sender.take();
    }
}

pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watchers_get_what_comes_after_them_in_order() {
        let events = Events::default();
        events.host(EventKind::PolicyChanged, Vec::new());
        let (mut receiver, last) = events.watch();
        assert_eq!(last, 1);
        let (task, eni): (TaskName, _) = ("web".parse().unwrap(), EniId::random());
        events.task(EventKind::TaskReady, &task, Some(eni), vec!["why".to_owned()]);
        let event = receiver.try_recv().unwrap();
        assert_eq!((event.kind, event.sequence), (EventKind::TaskReady, 2));
        assert_eq!((event.task, event.eni, event.details), (Some(task), Some(eni), vec!["why".to_owned()]));
        events.dismiss();
        assert_eq!(receiver.try_recv().unwrap_err(), broadcast::error::TryRecvError::Closed);
        assert_eq!(events.watch().0.try_recv().unwrap_err(), broadcast::error::TryRecvError::Closed);
    }

    #[test]
    fn who_is_too_slow_misses_the_oldest() {
        let events = Events::default();
        let (mut receiver, _) = events.watch();
        for _ in 0..BACKLOG + 3 {
            events.host(EventKind::PolicyChanged, Vec::new());
        }
        assert_eq!(receiver.try_recv().unwrap_err(), broadcast::error::TryRecvError::Lagged(3));
        assert_eq!(receiver.try_recv().unwrap().sequence, 4);
    }
}
