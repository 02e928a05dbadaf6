//! Segments: finding them, and the blocks in one.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::block::{HEADER_BYTES, Header, MAGIC};
use crate::error::SpoolError;

const EXTENSION: &str = "spool";
/// The digits of a batch number in a name, so that names sort as numbers do.
const DIGITS: usize = 20;

/// The path of the segment that begins with a batch.
pub(crate) fn path_of(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{first:0DIGITS$}.{EXTENSION}"))
}

/// The segments of a folder, by the batches that they begin with; other files are passed over.
pub(crate) fn list(folder: &Path) -> Result<Vec<(u64, PathBuf)>, SpoolError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(SpoolError::io("list", folder)(error)),
    };
    let mut segments = Vec::new();
    for entry in entries {
        let path = entry.map_err(SpoolError::io("list", folder))?.path();
        let is_segment = path.extension().is_some_and(|extension| extension == EXTENSION);
        let digits = path.file_stem().and_then(|stem| stem.to_str()).filter(|stem| stem.len() == DIGITS);
        if let Some(first) = digits.and_then(|digits| digits.parse().ok()).filter(|_| is_segment) {
            segments.push((first, path));
        }
    }
    segments.sort_unstable();
    Ok(segments)
}

/// A segment that is open for reading.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    pub(crate) path: Arc<Path>,
    file: Arc<File>,
}

/// What is at an offset of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// A block, whose header is whole; it ends where the second number says.
    Block(Header, u64),
    /// No block: the next one, or the end of the file if it is not there, is at this offset.
    Gap(u64),
    /// The end of the file.
    End,
}

impl Segment {
    /// Opens a segment; none if it is not there any more.
    pub(crate) fn open(path: &Path) -> Result<Option<Self>, SpoolError> {
        match File::open(path) {
            Ok(file) => Ok(Some(Self { path: path.into(), file: Arc::new(file) })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(SpoolError::io("open", path)(error)),
        }
    }

    /// How long it is now.
    pub(crate) fn length(&self) -> Result<u64, SpoolError> {
        Ok(self.file.metadata().map_err(SpoolError::io("examine", &self.path))?.len())
    }

    /// Looks at an offset.
    pub(crate) fn look(&self, offset: u64) -> Result<Found, SpoolError> {
        let length = self.length()?;
        if offset >= length {
            return Ok(Found::End);
        }
        if let Some(header) = self.header(offset, length)? {
            return Ok(Found::Block(header, offset + (HEADER_BYTES + header.payload()) as u64));
        }
        Ok(Found::Gap(self.next_header(offset + 1, length)?.unwrap_or(length)))
    }

    /// Where the next header is, from an offset on.
    fn next_header(&self, mut offset: u64, length: u64) -> Result<Option<u64>, SpoolError> {
        const STRIDE: u64 = 1 << 16;
        while offset + (HEADER_BYTES as u64) <= length {
            // The beginning of a header may be at a border between two strides.
            let stride = (length - offset).min(STRIDE + MAGIC.len() as u64 - 1);
            let mut bytes = vec![0; usize::try_from(stride).unwrap_or(0)];
            if !self.read(offset, &mut bytes)? {
                return Ok(None);
            }
            for (place, _) in bytes.windows(MAGIC.len()).enumerate().filter(|(_, four)| **four == MAGIC) {
                let at = offset + place as u64;
                if self.header(at, length)?.is_some() {
                    return Ok(Some(at));
                }
            }
            offset += STRIDE;
        }
        Ok(None)
    }

    /// The header at an offset, if it is one and its block is within the file.
    fn header(&self, offset: u64, length: u64) -> Result<Option<Header>, SpoolError> {
        let mut bytes = [0; HEADER_BYTES];
        if !self.read(offset, &mut bytes)? {
            return Ok(None);
        }
        let fits = |header: &Header| offset + (HEADER_BYTES + header.payload()) as u64 <= length;
        Ok(Header::decode(&bytes).filter(fits))
    }

    /// What follows the header at an offset; none if the file has been cut meanwhile.
    pub(crate) fn payload(&self, offset: u64, header: &Header) -> Result<Option<Vec<u8>>, SpoolError> {
        let mut bytes = vec![0; header.payload()];
        Ok(self.read(offset + HEADER_BYTES as u64, &mut bytes)?.then_some(bytes))
    }

    fn read(&self, offset: u64, bytes: &mut [u8]) -> Result<bool, SpoolError> {
        match self.file.read_exact_at(bytes, offset) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(SpoolError::io("read", &self.path)(error)),
        }
    }
}
