//! Reading files and directories of records.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::vec;

use crate::error::{FlowLogError, LineError};
use crate::filter::Filter;
use crate::parsed::ParsedRecord;
use crate::reader::RecordReader;
use crate::repair::flow_log_files;

const BUFFER_BYTES: usize = 128 * 1024;

/// The records of a file, or of the flow log files of a directory, that the filter lets through.
///
/// Files come in the order of their slots, records in the order of their file; only one file is open at a time. Files
/// whose slot is outside the filter's time range are not opened. A torn last line of each writer's newest file is
/// passed over, for it may be on its way; elsewhere it is an error. A file that lacks a field which the filter needs is
/// an error, and the next file follows.
pub fn read(path: &Path, filter: &Filter) -> Result<Records, FlowLogError> {
    let metadata = path.metadata().map_err(FlowLogError::io("read", path))?;
    let files = if metadata.is_dir() {
        listed(path, filter)?
    } else {
        vec![Source { path: path.to_owned(), may_be_growing: true }]
    };
    Ok(Records { files: files.into_iter(), filter: filter.clone(), current: None })
}

fn listed(directory: &Path, filter: &Filter) -> Result<Vec<Source>, FlowLogError> {
    let files = flow_log_files(directory)?;
    let newest: BTreeMap<_, _> = files.iter().map(|(name, _)| (name.stream().clone(), name.slot())).collect();
    Ok(files
        .into_iter()
        .filter(|(name, _)| name.overlaps(filter.since, filter.until))
        .map(|(name, path)| Source { path, may_be_growing: newest.get(name.stream()) == Some(&name.slot()) })
        .collect())
}

#[derive(Debug)]
struct Source {
    path: PathBuf,
    may_be_growing: bool,
}

/// The records that [`read`] streams.
#[derive(Debug)]
pub struct Records {
    files: vec::IntoIter<Source>,
    filter: Filter,
    current: Option<RecordReader<BufReader<File>>>,
}

impl Records {
    /// Files that are not begun yet.
    pub fn remaining_files(&self) -> usize {
        self.files.len()
    }

    fn open(&self, source: &Source) -> Result<Option<RecordReader<BufReader<File>>>, FlowLogError> {
        let file = match File::open(&source.path) {
            Ok(file) => file,
            // Removed for its age since the directory was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(FlowLogError::io("open", &source.path)(error)),
        };
        let input = BufReader::with_capacity(BUFFER_BYTES, file);
        let mut reader = match RecordReader::new(input, &source.path) {
            Err(FlowLogError::HeaderLine { reason: LineError::Torn, .. }) if source.may_be_growing => {
                return Ok(None);
            }
            reader => reader?,
        };
        if let Some(format) = reader.format() {
            self.filter.check(format).map_err(|error| error.in_file(&source.path))?;
        }
        if source.may_be_growing {
            reader = reader.tolerate_torn_end();
        }
        Ok(Some(reader))
    }
}

impl Iterator for Records {
    type Item = Result<ParsedRecord, FlowLogError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            while let Some(record) = self.current.as_mut().and_then(Iterator::next) {
                match record {
                    Ok(record) if !self.filter.matches(&record) => {}
                    wanted_or_error => return Some(wanted_or_error),
                }
            }
            let source = self.files.next()?;
            match self.open(&source) {
                Ok(reader) => self.current = reader,
                Err(error) => {
                    self.current = None;
                    return Some(Err(error));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
