//! The spool, as its one writer holds it.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::error::SpoolError;
use crate::reader::scan;
use crate::segment::{self, Segment};
use crate::writer::BatchWriter;

/// How large a spool becomes.
#[derive(Debug, Clone, Copy)]
pub struct SpoolOptions {
    /// The most that all segments together should have, in bytes.
    pub max_bytes: u64,
    /// How long a segment becomes, in bytes, before another one is begun.
    pub segment_bytes: u64,
}

impl SpoolOptions {
    /// A spool of this size, in segments of a 32nd of it: that much is removed at once.
    pub const fn of_size(max_bytes: u64) -> Self {
        Self { max_bytes, segment_bytes: max_bytes / 32 }
    }
}

impl Default for SpoolOptions {
    /// A gigabyte.
    fn default() -> Self {
        Self::of_size(1 << 30)
    }
}

/// What had to be made good when a spool was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Repaired {
    /// How many bytes were cut off: of a batch that has no end, or is not remembered.
    pub bytes: u64,
}

/// A spool that is open for writing.
#[derive(Debug)]
pub struct Spool {
    pub(crate) path: PathBuf,
    pub(crate) options: SpoolOptions,
    /// Lengths, by the batches that segments begin with.
    pub(crate) segments: BTreeMap<u64, u64>,
    /// The segment that is written to.
    pub(crate) open: Option<(u64, File)>,
    pub(crate) last: u64,
    _lock: File,
}

impl Spool {
    /// Opens a spool, making it where it is not there. `remembered` is the last batch that its writer knows it has written:
    /// what comes after it is cut off. If it is not known, only what has no end is.
    pub fn open(
        path: &Path,
        options: SpoolOptions,
        remembered: Option<u64>,
    ) -> Result<(Self, Repaired), SpoolError> {
        fs::create_dir_all(path).map_err(SpoolError::io("make the folder", path))?;
        let lock = lock(path)?;
        let mut spool = Self {
            path: path.to_owned(),
            options,
            segments: BTreeMap::new(),
            open: None,
            last: 0,
            _lock: lock,
        };
        let mut repaired = Repaired::default();
        let segments = segment::list(path)?;
        for (index, (first, path)) in segments.iter().enumerate() {
            let (kept, cut) = spool.repair(path, index + 1 == segments.len(), remembered)?;
            repaired.bytes += cut;
            if kept > 0 {
                spool.segments.insert(*first, kept);
            }
        }
        Ok((spool, repaired))
    }

    /// Cuts off what a segment should not have; returns how many bytes it keeps, and how many it loses.
    fn repair(
        &mut self,
        path: &Path,
        is_newest: bool,
        remembered: Option<u64>,
    ) -> Result<(u64, u64), SpoolError> {
        let Some(segment) = Segment::open(path)? else { return Ok((0, 0)) };
        let length = segment.length()?;
        let mut kept = 0;
        loop {
            let (mut batch, mut end) = scan(&segment, kept, is_newest)?;
            if batch.is_none() && is_newest {
                // A batch that is remembered was whole: what is missing of it now is damage, and the rest of it counts.
                (batch, end) = scan(&segment, kept, false)?;
                batch = batch.filter(|batch| remembered.is_some_and(|last| batch.number <= last));
            }
            match batch {
                Some(batch) if remembered.is_none_or(|last| batch.number <= last) => {
                    self.last = self.last.max(batch.number);
                    kept = end;
                }
                _ => break,
            }
        }
        if kept == 0 {
            fs::remove_file(path).map_err(SpoolError::io("remove", path))?;
        } else if kept < length {
            let file = OpenOptions::new().write(true).open(path).map_err(SpoolError::io("open", path))?;
            file.set_len(kept).map_err(SpoolError::io("cut", path))?;
        }
        Ok((kept, length - kept))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The last batch; 0 if there was none.
    pub const fn last(&self) -> u64 {
        self.last
    }

    /// How long all segments are together, in bytes.
    pub fn bytes(&self) -> u64 {
        self.segments.values().sum()
    }

    /// Begins a batch: the records of the interval from `began` to `ended`, in Unix seconds.
    pub fn begin(&mut self, batch: u64, began: u64, ended: u64) -> Result<BatchWriter<'_>, SpoolError> {
        BatchWriter::begin(self, (batch, began, ended))
    }

    /// The batches of the oldest segment, first and last, if all together are longer than they should be. Never those of
    /// the segment that is written to.
    pub fn surplus(&self) -> Option<(u64, u64)> {
        if self.bytes() <= self.options.max_bytes {
            return None;
        }
        let mut segments = self.segments.keys();
        let (first, next) = (segments.next()?, segments.next()?);
        Some((*first, next - 1))
    }

    /// Removes the segment that begins with a batch.
    pub fn remove(&mut self, first: u64) -> Result<(), SpoolError> {
        let path = segment::path_of(&self.path, first);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(SpoolError::io("remove", &path)(error));
            }
            _ => {}
        }
        self.segments.remove(&first);
        if self.open.as_ref().is_some_and(|(open, _)| *open == first) {
            self.open = None;
        }
        Ok(())
    }
}

/// Keeps others from writing, for as long as the file is open.
fn lock(path: &Path) -> Result<File, SpoolError> {
    let lock = path.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&lock)
        .map_err(SpoolError::io("open", &lock))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(Errno::WOULDBLOCK) => Err(SpoolError::Locked(path.to_owned())),
        Err(error) => Err(SpoolError::io("lock", &lock)(error.into())),
    }
}
