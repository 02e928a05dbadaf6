//! A directory that flow records are written to.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use enid_model::Name;

use crate::error::FlowLogError;
use crate::file_name::{FileKind, FileName, FlowLogId, Stream, fnv1a};
use crate::format::Format;
use crate::record::FlowRecord;
use crate::repair::{Repaired, cut_torn_line, flow_log_files, lock, repair};

/// Records that are rendered before they are written: bounds the memory that a batch takes.
const RECORDS_A_WRITE: usize = 16 * 1024;
/// Files kept open between two syncs. Records mostly end in one slot or two.
const MAX_OPEN_FILES: usize = 8;

/// What a [`LogDirectory`] writes, and as whom.
#[derive(Debug, Clone)]
pub struct LogDirectoryOptions {
    /// The account, in the files' names.
    pub account: Name,
    /// The region, in the files' names.
    pub region: Name,
    /// The flow log, in the files' names.
    pub id: FlowLogId,
    /// What tells this writer from others that deliver the same flow log to the same place: the host's name.
    pub writer: String,
    /// The fields of the records.
    pub format: Format,
    /// The most bytes that the flow log's files may have together; the oldest go first. None: no limit.
    pub max_total_bytes: Option<u64>,
}

/// Appends records to the files of a directory: one file for each 5-minute slot of the records' ends, the first line a
/// header. A format of its own gives files of its own.
#[derive(Debug)]
pub struct LogDirectory {
    path: PathBuf,
    stream: Stream,
    format: Format,
    header: String,
    max_total_bytes: Option<u64>,
    open: BTreeMap<FileName, OpenFile>,
    /// A file was made whose name may not be on disk yet.
    names_unsynced: bool,
}

#[derive(Debug)]
struct OpenFile {
    path: PathBuf,
    file: File,
    length: u64,
}

/// The lengths of files before the batch that is being appended.
type Lengths = BTreeMap<FileName, (PathBuf, u64)>;

impl LogDirectory {
    /// Opens the directory, making it where it is not there. Torn last lines, left by a writer that was cut off, are
    /// removed.
    pub fn open(
        path: impl Into<PathBuf>,
        options: LogDirectoryOptions,
    ) -> Result<(Self, Repaired), FlowLogError> {
        let path = path.into();
        fs::create_dir_all(&path).map_err(FlowLogError::io("make the directory", &path))?;
        let header = options.format.header() + "\n";
        let directory = Self {
            stream: Stream {
                account: options.account,
                region: options.region,
                id: options.id,
                hash: hash(&options.writer, &header),
                kind: FileKind::Text,
            },
            path,
            format: options.format,
            header,
            max_total_bytes: options.max_total_bytes,
            open: BTreeMap::new(),
            names_unsynced: false,
        };
        let repaired = repair(directory.files()?.into_iter().map(|(_, path)| path))?;
        Ok((directory, repaired))
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends the records: all of them or, with an error, none. They outlive this process from here on, and a power
    /// cut from the next [`sync`](Self::sync) on.
    pub fn append(&mut self, records: &[FlowRecord]) -> Result<(), FlowLogError> {
        let mut before = Lengths::new();
        let appended =
            records.chunks(RECORDS_A_WRITE).try_for_each(|chunk| self.append_chunk(chunk, &mut before));
        if appended.is_err() {
            self.roll_back(&before);
        }
        appended
    }

    fn append_chunk(&mut self, records: &[FlowRecord], before: &mut Lengths) -> Result<(), FlowLogError> {
        let mut batches: BTreeMap<FileName, String> = BTreeMap::new();
        let mut rest = records;
        while let Some(first) = rest.first() {
            let name = FileName::new(self.stream.clone(), first.end)?;
            let next = name.slot() + crate::SLOT_SECONDS;
            let run = rest.iter().take_while(|record| (name.slot()..next).contains(&record.end)).count();
            let (same_slot, others) = rest.split_at(run);
            let batch = batches.entry(name).or_default();
            for record in same_slot {
                self.format.render(record, batch);
                batch.push('\n');
            }
            rest = others;
        }
        for (name, batch) in batches {
            self.write(name, batch, before)?;
        }
        Ok(())
    }

    fn write(&mut self, name: FileName, mut batch: String, before: &mut Lengths) -> Result<(), FlowLogError> {
        if self.open.len() >= MAX_OPEN_FILES && !self.open.contains_key(&name) {
            self.sync_files()?;
            self.open.clear();
        }
        let opened = match self.open.remove(&name) {
            Some(opened) => opened,
            None => self.open_file(&name)?,
        };
        let opened = self.open.entry(name.clone()).or_insert(opened);
        before.entry(name).or_insert_with(|| (opened.path.clone(), opened.length));
        if opened.length == 0 {
            self.names_unsynced = true;
            batch.insert_str(0, &self.header);
        }
        opened.file.write_all(batch.as_bytes()).map_err(FlowLogError::io("write to", &opened.path))?;
        opened.length += batch.len() as u64;
        Ok(())
    }

    fn open_file(&self, name: &FileName) -> Result<OpenFile, FlowLogError> {
        let path = self.path.join(name.to_string());
        let file = OpenOptions::new()
            .create(true)
            .read(true)
            .append(true)
            .open(&path)
            .map_err(FlowLogError::io("open", &path))?;
        lock(&file, &path)?;
        cut_torn_line(&file, &path)?;
        let length = file.metadata().map_err(FlowLogError::io("examine", &path))?.len();
        if length > 0 {
            let mut header = vec![0; self.header.len()];
            let read = file.read_exact_at(&mut header, 0);
            if read.is_err() || header != self.header.as_bytes() {
                return Err(FlowLogError::ForeignFile { file: path });
            }
        }
        Ok(OpenFile { path, file, length })
    }

    /// Gives the files the lengths that they had. Where even that fails, the next writer finds a torn line and cuts it
    /// off; the error to report is the one that led here.
    fn roll_back(&mut self, before: &Lengths) {
        for (name, (path, length)) in before {
            if *length == 0 {
                let _ = fs::remove_file(path);
            } else if let Ok(file) = OpenOptions::new().write(true).open(path) {
                let _ = file.set_len(*length);
            }
            self.open.remove(name);
        }
    }

    /// Ends an interval: what was appended outlives a power cut from here on. Then removes the oldest files as long as
    /// all together are over the limit, never the newest; returns how many were removed.
    pub fn sync(&mut self) -> Result<usize, FlowLogError> {
        self.sync_files()?;
        // The newest will be written to again; records for older slots are few and late.
        let newest = self.open.pop_last();
        self.open.clear();
        self.open.extend(newest);
        self.remove_oldest()
    }

    /// Lets go of the files that are open.
    pub(crate) fn close_files(&mut self) {
        self.open.clear();
    }

    fn sync_files(&mut self) -> Result<(), FlowLogError> {
        for opened in self.open.values() {
            opened.file.sync_data().map_err(FlowLogError::io("sync", &opened.path))?;
        }
        if self.names_unsynced {
            File::open(&self.path)
                .and_then(|directory| directory.sync_all())
                .map_err(FlowLogError::io("sync", &self.path))?;
            self.names_unsynced = false;
        }
        Ok(())
    }

    fn remove_oldest(&self) -> Result<usize, FlowLogError> {
        let Some(limit) = self.max_total_bytes else {
            return Ok(0);
        };
        let mut files = Vec::new();
        for (name, path) in self.files()? {
            let length = fs::metadata(&path).map_err(FlowLogError::io("examine", &path))?.len();
            files.push((name, path, length));
        }
        let mut total: u64 = files.iter().map(|(_, _, length)| length).sum();
        files.pop();
        let mut removed = 0;
        for (name, path, length) in files {
            if total <= limit {
                break;
            }
            if self.open.contains_key(&name) {
                continue;
            }
            fs::remove_file(&path).map_err(FlowLogError::io("remove", &path))?;
            total -= length;
            removed += 1;
        }
        Ok(removed)
    }

    /// The files of this flow log, whatever their format, oldest first.
    pub(crate) fn files(&self) -> Result<Vec<(FileName, PathBuf)>, FlowLogError> {
        let Stream { account, region, id, .. } = &self.stream;
        let mut files = flow_log_files(&self.path)?;
        files.retain(|(name, _)| name.account() == account && name.region() == region && name.id() == *id);
        Ok(files)
    }
}

/// Tells the files of this writer and format from others' of the same slot.
fn hash(writer: &str, header: &str) -> u32 {
    let hash = fnv1a(format!("{writer}\n{header}").as_bytes());
    // The upper half of FNV-1a is the better mixed one.
    (hash >> 96) as u32
}

#[cfg(test)]
mod tests;
