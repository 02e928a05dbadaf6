//! A file that is being read, in a directory or a bucket.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tokio::runtime::Handle;

use crate::error::FlowLogError;
use crate::place::{Bucket, read_part};

/// An open file, or an object that is known by its key.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) name: PathBuf,
    pub(crate) size: u64,
    pub(crate) at: At,
}

#[derive(Debug)]
pub(crate) enum At {
    Disk(File),
    Bucket(Bucket, String, Handle),
}

impl Object {
    /// What messages call it.
    pub(crate) fn name(&self) -> &Path {
        &self.name
    }

    /// A part of the file.
    pub(crate) fn read(&self, range: Range<u64>) -> Result<Bytes, FlowLogError> {
        match &self.at {
            At::Disk(file) => read_part(file, range).map_err(FlowLogError::io("read", &self.name)),
            At::Bucket(bucket, key, runtime) => runtime.block_on(bucket.read(key, range)),
        }
    }

    /// Parts of the file: of a bucket, by as few requests as may be, and at once.
    pub(crate) fn read_parts(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, FlowLogError> {
        match &self.at {
            At::Disk(_) => ranges.iter().map(|range| self.read(range.clone())).collect(),
            At::Bucket(bucket, key, runtime) => runtime.block_on(bucket.read_parts(key, ranges)),
        }
    }

    /// The bytes of the whole file, one after the other.
    pub(crate) fn into_reader(self) -> Result<Box<dyn io::Read + Send>, FlowLogError> {
        if let At::Disk(file) = self.at {
            return Ok(Box::new(file));
        }
        // Files of a bucket are at most some megabytes.
        let bytes = self.read(0..self.size)?;
        Ok(Box::new(io::Cursor::new(bytes)))
    }
}
