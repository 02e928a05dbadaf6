//! The flow logs of this host: created, changed and deleted by name, and known across restarts.

mod declared;
mod settings;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex};

use enid_delivery::{FlowLog, Target};
use enid_flowlog::FlowLogId;
use enid_model::{EniId, Name, NetworkFileError};
use enid_store::NetworkStore;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

pub(crate) use declared::{Declared, check, resolve};
pub(crate) use settings::{Settings, interface_tags, parse_name, takes_files};

use crate::{EnidError, lock};

/// All flow logs to deliver to, those that have ended among them.
pub(crate) type Current = Arc<Vec<Arc<FlowLog>>>;

/// A flow log as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    flow_log: FlowLog,
    /// Whether its ENI is gone: nothing new comes, and what there is, is still to be delivered. It has its name no more.
    ended: bool,
}

/// The flow logs of this host.
#[derive(Debug)]
pub(crate) struct FlowLogs {
    store: Arc<NetworkStore>,
    entries: Mutex<Vec<Entry>>,
    current: watch::Sender<Current>,
}

impl FlowLogs {
    /// Takes up the flow logs that there were.
    pub(crate) fn open(store: Arc<NetworkStore>) -> Result<Self, EnidError> {
        let entries: Vec<Entry> = store.flow_logs()?;
        let (current, _) = watch::channel(published(&entries));
        Ok(Self { store, entries: Mutex::new(entries), current })
    }

    /// All that are to be delivered to, those that have ended among them.
    #[cfg(test)]
    pub(crate) fn current(&self) -> Current {
        Arc::clone(&self.current.borrow())
    }

    /// All that are to be delivered to, those that have ended among them, again after each change.
    pub(crate) fn changed(&self) -> watch::Receiver<Current> {
        self.current.subscribe()
    }

    /// Those that have not ended, by name.
    pub(crate) fn list(&self) -> Vec<FlowLog> {
        let mut flow_logs: Vec<FlowLog> = lock(&self.entries)
            .iter()
            .filter(|entry| !entry.ended)
            .map(|entry| entry.flow_log.clone())
            .collect();
        flow_logs.sort_by(|a, b| a.name.cmp(&b.name));
        flow_logs
    }

    /// The flow log of this id or name.
    pub(crate) fn get(&self, wanted: &str) -> Result<FlowLog, EnidError> {
        let entries = lock(&self.entries);
        let found = entries.iter().find(|entry| is_called(entry, wanted));
        let found = found.map(|entry| entry.flow_log.clone());
        found.ok_or_else(|| EnidError::NoFlowLog(wanted.to_owned()))
    }

    /// The first that `uses` holds for and that has not ended.
    pub(crate) fn find(&self, uses: impl Fn(Target) -> bool) -> Option<Name> {
        let entries = lock(&self.entries);
        let found = entries.iter().find(|entry| !entry.ended && uses(entry.flow_log.target));
        found.map(|entry| entry.flow_log.name.clone())
    }

    /// The flow log that has the name, if its content is this one's too.
    pub(crate) fn existing(&self, wanted: &FlowLog) -> Result<Option<FlowLog>, EnidError> {
        same(&lock(&self.entries), wanted)
    }

    /// Creates a flow log, unless there is one of this name and content, which then is the answer.
    pub(crate) fn create(&self, wanted: &FlowLog) -> Result<FlowLog, EnidError> {
        self.change(|entries| {
            if let Some(existing) = same(entries, wanted)? {
                return Ok(existing);
            }
            entries.push(Entry { flow_log: wanted.clone(), ended: false });
            Ok(wanted.clone())
        })
    }

    /// Creates and updates what a network file declares, and says what changes.
    pub(crate) fn apply(&self, declared: &[Declared], dry_run: bool) -> Result<Vec<String>, EnidError> {
        if dry_run {
            return apply(&mut lock(&self.entries).clone(), declared);
        }
        self.change(|entries| apply(entries, declared))
    }

    /// Those whose destination nothing has been delivered to under their name.
    pub(crate) fn untried<'d>(&self, declared: &'d [Declared]) -> Vec<&'d FlowLog> {
        let entries = lock(&self.entries);
        let is_known = |flow_log: &FlowLog| {
            let existing = named(&entries, &flow_log.name);
            existing.is_some_and(|existing| existing.destination == flow_log.destination)
        };
        let flow_logs = declared.iter().map(|declared| &declared.flow_log);
        flow_logs.filter(|flow_log| !is_known(flow_log)).collect()
    }

    /// Deletes the flow log of this id or name, and says whether there was one. Nothing more is delivered to it.
    pub(crate) fn delete(&self, wanted: &str) -> Result<bool, EnidError> {
        self.change(|entries| {
            let before = entries.len();
            entries.retain(|entry| !is_called(entry, wanted));
            Ok(entries.len() < before)
        })
    }

    /// Ends the flow logs of ENIs that are gone, once their last record is made, and says which those are. They are there
    /// until they are [finished](Self::finish): their last records are still to be delivered.
    pub(crate) fn end(&self, is_gone: impl Fn(EniId) -> bool) -> Result<Vec<FlowLogId>, EnidError> {
        self.change(|entries| {
            let mut ended = Vec::new();
            for entry in entries {
                if let Target::Eni(eni) = entry.flow_log.target
                    && !entry.ended
                    && is_gone(eni)
                {
                    entry.ended = true;
                    ended.push(entry.flow_log.id);
                }
            }
            Ok(ended)
        })
    }

    /// Whether a flow log has ended: then it is to be [finished](Self::finish) once its last record is delivered.
    pub(crate) fn has_ended(&self, id: FlowLogId) -> bool {
        lock(&self.entries).iter().any(|entry| entry.flow_log.id == id && entry.ended)
    }

    /// Forgets flow logs that have ended.
    pub(crate) fn finish(&self, ids: &[FlowLogId]) -> Result<(), EnidError> {
        self.change(|entries| {
            entries.retain(|entry| !(entry.ended && ids.contains(&entry.flow_log.id)));
            Ok(())
        })
    }

    /// The one way in which flow logs change: on disk first, then for all to see.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut Vec<Entry>) -> Result<T, EnidError>,
    ) -> Result<T, EnidError> {
        let mut entries = lock(&self.entries);
        let mut next = entries.clone();
        let done = change(&mut next)?;
        let id = |entry: &Entry| entry.flow_log.id.to_string();
        let put: Vec<(String, &Entry)> =
            next.iter().filter(|entry| !entries.contains(entry)).map(|entry| (id(entry), entry)).collect();
        let is_left = |entry: &&Entry| next.iter().all(|other| other.flow_log.id != entry.flow_log.id);
        let removed: Vec<String> = entries.iter().filter(is_left).map(id).collect();
        if put.is_empty() && removed.is_empty() {
            return Ok(done);
        }
        self.store.save_flow_logs(&put, &removed)?;
        for (id, entry) in &put {
            let FlowLog { name, destination, .. } = &entry.flow_log;
            tracing::info!(%id, %name, %destination, ended = entry.ended, "changed a flow log");
        }
        for id in &removed {
            tracing::info!(%id, "removed a flow log");
        }
        *entries = next;
        self.current.send_replace(published(&entries));
        Ok(done)
    }
}

fn published(entries: &[Entry]) -> Current {
    Arc::new(entries.iter().map(|entry| Arc::new(entry.flow_log.clone())).collect())
}

fn is_called(entry: &Entry, wanted: &str) -> bool {
    let flow_log = &entry.flow_log;
    !entry.ended && (flow_log.name.as_str() == wanted || wanted.parse() == Ok(flow_log.id))
}

fn named<'e>(entries: &'e [Entry], name: &Name) -> Option<&'e FlowLog> {
    let found = entries.iter().find(|entry| !entry.ended && entry.flow_log.name == *name);
    found.map(|entry| &entry.flow_log)
}

/// The flow log that has the name; refused if it is another.
fn same(entries: &[Entry], wanted: &FlowLog) -> Result<Option<FlowLog>, EnidError> {
    let Some(existing) = named(entries, &wanted.name) else { return Ok(None) };
    let differences = settings::differences(existing, wanted);
    let what = if existing.target == wanted.target {
        differences.first().map(|difference| format!("{} {}", difference.what, difference.old))
    } else {
        Some(format!("target {}", existing.target))
    };
    match what {
        None => Ok(Some(existing.clone())),
        Some(what) => Err(EnidError::FlowLogDiffers { name: wanted.name.clone(), what }),
    }
}

/// Makes the entries what is declared, under the ids that they have, and says what changes.
fn apply(entries: &mut Vec<Entry>, declared: &[Declared]) -> Result<Vec<String>, EnidError> {
    let (mut changes, mut problems) = (Vec::new(), Vec::new());
    for Declared { flow_log, target, written } in declared {
        let name = &flow_log.name;
        let existing = entries.iter_mut().find(|entry| !entry.ended && entry.flow_log.name == *name);
        let Some(Entry { flow_log: existing, .. }) = existing else {
            changes.push(format!(
                "+ flow-log {name} ({}) of {target}: to {}",
                flow_log.id, flow_log.destination
            ));
            entries.push(Entry { flow_log: flow_log.clone(), ended: false });
            continue;
        };
        if existing.target != flow_log.target {
            let reason = format!(
                "there is a flow log {name} already, of {}, and what a flow log is of can't change: delete it, or use another name",
                existing.target
            );
            problems.push(written.problem(&reason));
            continue;
        }
        let differences = settings::differences(existing, flow_log);
        if !differences.is_empty() {
            let texts: Vec<String> = differences.iter().map(ToString::to_string).collect();
            changes.push(format!("~ flow-log {name}: {}", texts.join(", ")));
            *existing = FlowLog { id: existing.id, ..flow_log.clone() };
        }
    }
    NetworkFileError::unless_empty(problems)?;
    Ok(changes)
}
