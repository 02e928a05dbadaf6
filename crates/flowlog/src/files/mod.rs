//! Whole files of records: what is in them, and what they are called.

mod layout;
mod parquet_file;
mod text;

use std::collections::BTreeMap;

use enid_model::Name;

use crate::error::FlowLogError;
use crate::field::Field;
use crate::file_name::{FileKind, FileName, FlowLogId, SLOT_SECONDS, Stream, fnv1a};
use crate::format::Format;
use crate::value::{Fields, Value};

pub use layout::Layout;
pub(crate) use layout::folder_time;
pub(crate) use parquet_file::field_of_column;

/// A file of records, to be put at its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordFile {
    /// Folders and name.
    pub key: String,
    /// What is in it.
    pub bytes: Vec<u8>,
    /// How many records that is.
    pub records: usize,
}

/// What is in a file of a size that is bounded.
#[derive(Debug, PartialEq, Eq)]
struct Part {
    bytes: Vec<u8>,
    records: usize,
}

/// The most bytes of a file, as it is published of VPC flow logs. Where a record alone is larger, so is its file.
const LARGEST_FILE: usize = 75_000_000;

/// The files that one host writes for one flow log.
#[derive(Debug, Clone)]
pub struct FileSeries {
    /// The account, in the keys.
    pub account: Name,
    /// The region, in the keys.
    pub region: Name,
    /// The flow log, in the keys.
    pub id: FlowLogId,
    /// What tells this writer from others that deliver the same flow log to the same place: the host's name.
    pub writer: String,
    /// What a file is.
    pub kind: FileKind,
    /// The folders.
    pub layout: Layout,
}

impl FileSeries {
    /// The files of these records: one for each 5-minute slot that they end in, or as many as it takes for none to be
    /// larger than 75 MB. `position` is the same when a delivery is repeated, and so are the keys and what is in each
    /// file: they then take the place of the earlier ones.
    pub fn files<R: Fields>(
        &self,
        format: &Format,
        records: &[R],
        position: u64,
    ) -> Result<Vec<RecordFile>, FlowLogError> {
        self.files_of_size(format, records, position, LARGEST_FILE)
    }

    fn files_of_size<R: Fields>(
        &self,
        format: &Format,
        records: &[R],
        position: u64,
        largest: usize,
    ) -> Result<Vec<RecordFile>, FlowLogError> {
        let mut slots: BTreeMap<u64, Vec<&R>> = BTreeMap::new();
        for record in records {
            let end = match record.value(Field::End) {
                Some(Value::Number(end)) => end,
                _ => 0,
            };
            slots.entry(end - end % SLOT_SECONDS).or_default().push(record);
        }
        let hash = self.hash(format, position);
        let mut files = Vec::new();
        for (slot, records) in slots {
            let key = |hash| {
                let (account, region) = (self.account.clone(), self.region.clone());
                let stream = Stream { account, region, id: self.id, hash, kind: self.kind };
                FileName::new(stream, slot).map(|name| self.layout.key(&name))
            };
            let parts = encode(self.kind, format, &records, largest);
            let parts = match parts {
                Ok(parts) => parts,
                Err(source) => return Err(FlowLogError::Encode { file: key(hash)?, source }),
            };
            // Numbers from the hash on, so that no two parts of a slot have one name.
            for (number, Part { bytes, records }) in (0..).zip(parts) {
                files.push(RecordFile { key: key(hash.wrapping_add(number))?, bytes, records });
            }
        }
        Ok(files)
    }

    fn hash(&self, format: &Format, position: u64) -> u32 {
        let hash = fnv1a(format!("{}\n{}\n{position}", self.writer, format.header()).as_bytes());
        // The last bytes are hardly mixed with the others yet: another round does that.
        (fnv1a(&hash.to_le_bytes()) >> 96) as u32
    }
}

/// The bytes of one file of these records, in their order.
pub fn encode_records<R: Fields>(
    kind: FileKind,
    format: &Format,
    records: &[R],
) -> Result<Vec<u8>, FlowLogError> {
    let records: Vec<_> = records.iter().collect();
    let parts = encode(kind, format, &records, usize::MAX)
        .map_err(|source| FlowLogError::Encode { file: kind.suffix().to_owned(), source })?;
    Ok(parts.into_iter().next().map(|part| part.bytes).unwrap_or_default())
}

/// The files of these records, in their order: at least one, and each as large as `largest` allows.
fn encode<R: Fields>(
    kind: FileKind,
    format: &Format,
    records: &[&R],
    largest: usize,
) -> std::io::Result<Vec<Part>> {
    match kind {
        FileKind::Text => text::write(format, false, records, largest),
        FileKind::Gzip => text::write(format, true, records, largest),
        FileKind::Parquet => parquet_file::write(format, records, largest).map_err(std::io::Error::other),
    }
}

#[cfg(test)]
mod tests;
