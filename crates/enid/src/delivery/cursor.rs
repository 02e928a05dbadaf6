//! How far a flow log is delivered, and what was given up: on disk, so that the next daemon goes on from there.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use enid_flowlog::{FlowLogId, FlowRecord, Interface, Loss, Observation};
use serde::{Deserialize, Serialize};

use crate::EnidError;

/// How far a flow log is delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Cursor {
    /// The batch after which the flow log begins.
    #[serde(default)]
    pub(super) after: u64,
    /// The last batch that is delivered, or given up.
    pub(super) delivered: u64,
    /// The last batch of what is being delivered: if that is repeated, it is repeated to the same end, so that its files
    /// take the place of those that may be there.
    pub(super) delivering: Option<u64>,
    /// What was given up and is to be said.
    lost: Vec<Lost>,
    /// What was given up since the flow log was created.
    total: Loss,
}

/// What of an ENI was given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Lost {
    interface: Arc<Interface>,
    start: u64,
    end: u64,
    loss: Loss,
}

impl Cursor {
    /// Of a flow log that begins after a batch.
    pub(super) const fn new(after: u64) -> Self {
        Self {
            after,
            delivered: after,
            delivering: None,
            lost: Vec::new(),
            total: Loss { packets: 0, bytes: 0, records: 0 },
        }
    }

    /// What was given up since the flow log was created.
    pub(super) const fn total_lost(&self) -> Loss {
        self.total
    }

    /// Counts a record as given up; returns the sum with it.
    pub(super) fn lose(&mut self, record: &FlowRecord, (start, end): (u64, u64), sum: Loss) -> Loss {
        let loss = match &record.observation {
            Observation::Traffic(traffic) => {
                Loss { packets: traffic.packets, bytes: traffic.bytes, records: 1 }
            }
            Observation::SkipData(loss) => *loss,
            // That there was nothing is no loss.
            Observation::NoData => return sum,
        };
        let interface = &record.interface;
        let known = self.lost.iter_mut().find(|lost| lost.interface.eni == interface.eni);
        if let Some(known) = known {
            known.loss = add(known.loss, loss);
            (known.start, known.end) = (known.start.min(start), known.end.max(end));
        } else {
            self.lost.push(Lost { interface: Arc::clone(interface), start, end, loss });
        }
        self.total = add(self.total, loss);
        add(sum, loss)
    }

    /// SKIPDATA records of what was given up.
    pub(super) fn skip_data(&self) -> impl Iterator<Item = FlowRecord> {
        self.lost.iter().map(|Lost { interface, start, end, loss }| {
            FlowRecord::new(Arc::clone(interface), *start, *end, Observation::SkipData(*loss))
        })
    }

    /// What is being delivered is delivered, and with it what was said to be lost.
    pub(super) fn advance(&mut self, to: u64, said: usize) {
        self.delivered = self.delivered.max(to);
        self.delivering = None;
        self.lost.drain(..said.min(self.lost.len()));
    }

    /// Reads the cursor of a flow log; none if it has none yet.
    pub(super) fn load(folder: &Path, id: FlowLogId) -> Result<Option<Self>, EnidError> {
        let path = path_of(folder, id);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(EnidError::file("read", path)(error)),
        };
        let cursor =
            serde_json::from_slice(&text).map_err(|error| EnidError::file("read", path)(error.into()))?;
        Ok(Some(cursor))
    }

    /// Writes it, whole or not at all; it outlives a power cut then.
    pub(super) fn save(&self, folder: &Path, id: FlowLogId) -> Result<(), EnidError> {
        fs::create_dir_all(folder).map_err(EnidError::file("create", folder))?;
        let path = path_of(folder, id);
        let next = path.with_extension("next");
        let written = File::create(&next).and_then(|mut file| {
            file.write_all(&serde_json::to_vec(self)?)?;
            file.sync_data()
        });
        written.map_err(EnidError::file("write", &next))?;
        fs::rename(&next, &path).map_err(EnidError::file("write", path))
    }

    /// Removes that of a flow log that is gone. If it stays, it is in nobody's way.
    pub(super) fn remove(folder: &Path, id: FlowLogId) {
        let _ = fs::remove_file(path_of(folder, id));
    }
}

fn add(a: Loss, b: Loss) -> Loss {
    Loss { packets: a.packets + b.packets, bytes: a.bytes + b.bytes, records: a.records + b.records }
}

fn path_of(folder: &Path, id: FlowLogId) -> PathBuf {
    folder.join(format!("{id}.json"))
}
