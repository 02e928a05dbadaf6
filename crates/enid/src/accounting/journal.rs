//! The journal: makes writing records and remembering that they were written one step.
//!
//! Records go to two folders, what was exported to a third place. A daemon that is killed in between would leave records
//! whose counts are still pending, to be written again. So before it writes a batch, it notes how far both folders reach.
//! A daemon that finds a note looks whether what was exported is remembered to that batch: if so, all three agree; if
//! not, it takes back what was appended since, and the counts are pending.

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
    /// The first batch that is not remembered, if there is a note.
    noted: Option<u64>,
}

/// How far both folders reach.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Reach {
    records: Extent,
    log: Extent,
}

#[derive(Debug, Serialize, Deserialize)]
struct Note {
    /// The batch that is appended next.
    batch: u64,
    reach: Reach,
}

impl Journal {
    /// Takes up the journal of an earlier daemon, which remembered what was exported to the batch `remembered`: takes back
    /// what it appended after that.
    pub(super) fn open(
        path: PathBuf,
        remembered: u64,
        records: &mut LogDirectory,
        log: &mut LogDirectory,
    ) -> Result<Self, EnidError> {
        let mut journal = Self { path, noted: None };
        let text = match fs::read(&journal.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(journal),
            Err(error) => return Err(journal.failed("read")(error)),
        };
        let note: Note =
            serde_json::from_slice(&text).map_err(|error| journal.failed("read")(error.into()))?;
        if note.batch > remembered {
            tracing::warn!("an earlier daemon was cut off while it wrote records: they are written again");
            cut_back(&note.reach, records, log)?;
        }
        journal.end()?;
        Ok(journal)
    }

    /// Notes how far both folders reach before a batch is appended. A note of an earlier batch stays, as that batch is not
    /// remembered either.
    pub(super) fn begin(
        &mut self,
        batch: u64,
        records: &LogDirectory,
        log: &LogDirectory,
    ) -> Result<Reach, EnidError> {
        let note = Note { batch, reach: Reach { records: records.extent()?, log: log.extent()? } };
        if self.noted.is_none() {
            let text = serde_json::to_vec(&note).map_err(|error| self.failed("write")(error.into()))?;
            let next = self.path.with_extension("next");
            fs::write(&next, text).map_err(EnidError::file("write", &next))?;
            fs::rename(&next, &self.path).map_err(self.failed("write"))?;
            self.noted = Some(batch);
        }
        Ok(note.reach)
    }

    /// Takes back what was appended of a batch.
    pub(super) fn take_back(
        &mut self,
        batch: u64,
        reach: &Reach,
        records: &mut LogDirectory,
        log: &mut LogDirectory,
    ) -> Result<(), EnidError> {
        cut_back(reach, records, log)?;
        if self.noted == Some(batch) { self.end() } else { Ok(()) }
    }

    /// What was appended is remembered: there is nothing to take back any more.
    pub(super) fn end(&mut self) -> Result<(), EnidError> {
        gone(fs::remove_file(&self.path)).map_err(self.failed("remove"))?;
        self.noted = None;
        Ok(())
    }

    fn failed(&self, action: &'static str) -> impl FnOnce(io::Error) -> EnidError {
        EnidError::file(action, &self.path)
    }
}

fn cut_back(reach: &Reach, records: &mut LogDirectory, log: &mut LogDirectory) -> Result<(), EnidError> {
    records.cut_back(&reach.records)?;
    Ok(log.cut_back(&reach.log)?)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use enid_flowlog::{Filter, FlowLogId, Format, LogDirectoryOptions, no_data_records, read};

    use super::super::testing::{number, registry};
    use super::*;

    /// A daemon's hold on both folders.
    struct Writer {
        journal: Journal,
        records: LogDirectory,
        log: LogDirectory,
    }

    fn directory(path: &Path) -> LogDirectory {
        let options = LogDirectoryOptions {
            account: "unknown".parse().unwrap(),
            region: "local".parse().unwrap(),
            id: FlowLogId::derived_from("test"),
            writer: "test".to_owned(),
            format: Format::default(),
            max_total_bytes: None,
        };
        LogDirectory::open(path, options).unwrap().0
    }

    impl Writer {
        fn start(folder: &Path, remembered: u64) -> Self {
            let (mut records, mut log) = (directory(&folder.join("records")), directory(&folder.join("log")));
            let journal = Journal::open(folder.join("journal"), remembered, &mut records, &mut log).unwrap();
            Self { journal, records, log }
        }

        /// Appends a record that ends at `time` to as many of the folders.
        fn append(&mut self, batch: u64, time: u64, folders: usize) -> Reach {
            let reach = self.journal.begin(batch, &self.records, &self.log).unwrap();
            let interface = registry(1).0.interface(number(0)).unwrap();
            let records: Vec<_> = no_data_records([interface], time, time).collect();
            for folder in [&mut self.log, &mut self.records].into_iter().take(folders) {
                folder.append(&records).unwrap();
            }
            reach
        }
    }

    /// When the records of both folders end, which are the same.
    fn written(folder: &Path) -> Vec<u64> {
        let [records, log] = ["records", "log"].map(|name| {
            let records = read(&folder.join(name), &Filter::default()).unwrap();
            records.map(|record| record.unwrap().end.unwrap()).collect::<Vec<_>>()
        });
        assert_eq!(records, log);
        records
    }

    #[test]
    fn what_is_not_remembered_is_taken_back_wherever_the_daemon_ends() {
        for folders in 0..=2 {
            let folder = tempfile::tempdir().unwrap();
            let mut writer = Writer::start(folder.path(), 0);
            writer.append(1, 1_000, 2);
            writer.journal.end().unwrap();
            // Of another slot, so that it has a file of its own.
            writer.append(2, 2_000, folders);
            drop(writer);
            Writer::start(folder.path(), 1);
            assert_eq!(written(folder.path()), [1_000]);
            assert!(!folder.path().join("journal").exists());
        }
    }

    #[test]
    fn what_is_remembered_stays_though_the_note_is_there() {
        let folder = tempfile::tempdir().unwrap();
        Writer::start(folder.path(), 6).append(7, 1_000, 2);
        Writer::start(folder.path(), 7);
        assert_eq!(written(folder.path()), [1_000]);
        assert!(!folder.path().join("journal").exists());
    }

    #[test]
    fn all_that_could_not_be_remembered_is_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = Writer::start(folder.path(), 0);
        writer.append(1, 1_000, 2);
        // What was exported could not be saved; the next batch fails, and the one after is saved, or not.
        let reach = writer.append(2, 1_001, 1);
        let Writer { journal, records, log } = &mut writer;
        journal.take_back(2, &reach, records, log).unwrap();
        assert_eq!(written(folder.path()), [1_000]);
        writer.append(2, 1_002, 2);
        drop(writer);
        let note = fs::read(folder.path().join("journal")).unwrap();
        Writer::start(folder.path(), 2);
        assert_eq!(written(folder.path()), [1_000, 1_002]);
        fs::write(folder.path().join("journal"), note).unwrap();
        Writer::start(folder.path(), 0);
        assert_eq!(written(folder.path()), [0; 0]);
    }
}
