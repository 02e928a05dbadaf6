//! The journal: makes writing records and remembering that they were written one step.
//!
//! Records go to two folders, what was exported to a third place. A daemon that is killed in between would leave records
//! whose counts are still pending, to be written again. So before it writes, it notes how far both folders reach; the note
//! goes once all three agree. A daemon that finds one takes back what was appended since, and the counts are pending.

use std::fs;
use std::io;
use std::path::PathBuf;

use enid_flowlog::{Extent, LogDirectory};
use serde::{Deserialize, Serialize};

use crate::EnidError;
use crate::run::gone;

/// Where the note is made, under the run directory: it matters only as long as what is exported is remembered there.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
}

/// How far both folders reached.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Note {
    records: Extent,
    log: Extent,
}

impl Journal {
    pub(super) fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Notes how far both folders reach.
    pub(super) fn begin(&self, records: &LogDirectory, log: &LogDirectory) -> Result<Note, EnidError> {
        let note = Note { records: records.extent()?, log: log.extent()? };
        let text = serde_json::to_vec(&note).map_err(|error| self.failed("write")(error.into()))?;
        let next = self.path.with_extension("next");
        fs::write(&next, text).map_err(EnidError::file("write", &next))?;
        fs::rename(&next, &self.path).map_err(self.failed("write"))?;
        Ok(note)
    }

    /// Takes back what was appended since.
    pub(super) fn take_back(
        &self,
        note: &Note,
        records: &mut LogDirectory,
        log: &mut LogDirectory,
    ) -> Result<(), EnidError> {
        records.cut_back(&note.records)?;
        log.cut_back(&note.log)?;
        self.end()
    }

    /// What was appended is remembered: there is nothing to take back any more.
    pub(super) fn end(&self) -> Result<(), EnidError> {
        gone(fs::remove_file(&self.path)).map_err(self.failed("remove"))
    }

    /// Takes back what a daemon appended that was killed before it could remember it.
    pub(super) fn recover(
        &self,
        records: &mut LogDirectory,
        log: &mut LogDirectory,
    ) -> Result<(), EnidError> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(self.failed("read")(error)),
        };
        let note: Note = serde_json::from_slice(&text).map_err(|error| self.failed("read")(error.into()))?;
        tracing::warn!("an earlier daemon was cut off while it wrote records: they are written again");
        self.take_back(&note, records, log)
    }

    fn failed(&self, action: &'static str) -> impl FnOnce(io::Error) -> EnidError {
        EnidError::file(action, &self.path)
    }
}
