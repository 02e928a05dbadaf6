//! Writing a batch.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;

use enid_flowlog::FlowRecord;

use crate::balance::Balances;
use crate::block::{Filling, MAX_RECORDS};
use crate::error::SpoolError;
use crate::segment;
use crate::spool::Spool;

/// A batch that is being written: it is not there before it is committed, and never if it is dropped before.
#[derive(Debug)]
pub struct BatchWriter<'a> {
    spool: &'a mut Spool,
    batch: (u64, u64, u64),
    filling: Filling,
    /// The segment, and how long it was before.
    segment: (u64, u64),
    length: u64,
    records: u64,
    is_committed: bool,
}

impl<'a> BatchWriter<'a> {
    pub(crate) fn begin(spool: &'a mut Spool, batch: (u64, u64, u64)) -> Result<Self, SpoolError> {
        let number = batch.0;
        if number <= spool.last {
            return Err(SpoolError::Order { batch: number, last: spool.last, path: spool.path.clone() });
        }
        let segment_bytes = spool.options.segment_bytes;
        let current = spool.open.as_ref().map(|(first, _)| *first);
        let current = current.and_then(|first| Some((first, *spool.segments.get(&first)?)));
        let segment = if let Some(segment) = current.filter(|(_, length)| *length < segment_bytes) {
            segment
        } else {
            let path = segment::path_of(&spool.path, number);
            let file = OpenOptions::new()
                .create(true)
                .truncate(true)
                .write(true)
                .open(&path)
                .map_err(SpoolError::io("open", &path))?;
            spool.open = Some((number, file));
            (number, 0)
        };
        let filling = Filling::default();
        Ok(Self { spool, batch, filling, segment, length: segment.1, records: 0, is_committed: false })
    }

    /// Adds a record.
    pub fn push(&mut self, record: &FlowRecord) -> Result<(), SpoolError> {
        self.filling.push(record);
        self.records += 1;
        if self.filling.len() >= MAX_RECORDS { self.flush(None) } else { Ok(()) }
    }

    /// How many records it has.
    pub const fn len(&self) -> u64 {
        self.records
    }

    /// Whether it has none.
    pub const fn is_empty(&self) -> bool {
        self.records == 0
    }

    fn flush(&mut self, balances: Option<&[Balances]>) -> Result<(), SpoolError> {
        let bytes = self
            .filling
            .finish(self.batch, balances)
            .map_err(|source| SpoolError::Encode { batch: self.batch.0, source })?;
        let path = segment::path_of(&self.spool.path, self.segment.0);
        if let Some((_, file)) = &mut self.spool.open {
            file.write_all(&bytes).map_err(SpoolError::io("write to", &path))?;
        }
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Ends the batch: it outlives a power cut from here on. With an error it is not there at all.
    pub fn commit(mut self, balances: &[Balances]) -> Result<u64, SpoolError> {
        self.flush(Some(balances))?;
        let path = segment::path_of(&self.spool.path, self.segment.0);
        if let Some((_, file)) = &self.spool.open {
            file.sync_data().map_err(SpoolError::io("sync", &path))?;
        }
        if self.segment.1 == 0 {
            File::open(&self.spool.path)
                .and_then(|folder| folder.sync_all())
                .map_err(SpoolError::io("sync", &self.spool.path))?;
        }
        self.is_committed = true;
        self.spool.segments.insert(self.segment.0, self.length);
        self.spool.last = self.batch.0;
        Ok(self.records)
    }
}

impl Drop for BatchWriter<'_> {
    /// Takes back what was written. Where even that fails, the next batch has a segment of its own, and what is left has
    /// no end, so that no reader takes it for a batch.
    fn drop(&mut self) {
        if self.is_committed {
            return;
        }
        let (first, length) = self.segment;
        let path = segment::path_of(&self.spool.path, first);
        let open = self.spool.open.take();
        if length == 0 {
            let _ = fs::remove_file(&path);
        } else if let Some((_, mut file)) = open {
            let cut = file.set_len(length);
            let back = std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(length));
            if cut.is_ok() && back.is_ok() {
                self.spool.open = Some((first, file));
            }
        }
    }
}
