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
    /// The files of these records: one for each 5-minute slot that they end in. `position` is the same when a delivery
    /// is repeated, and so are the keys: the files then take the place of the earlier ones.
    pub fn files<R: Fields>(
        &self,
        format: &Format,
        records: &[R],
        position: u64,
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
        let file = |(slot, records): (u64, Vec<&R>)| {
            let (account, region) = (self.account.clone(), self.region.clone());
            let stream = Stream { account, region, id: self.id, hash, kind: self.kind };
            let key = self.layout.key(&FileName::new(stream, slot)?);
            let bytes = encode(self.kind, format, &records)
                .map_err(|source| FlowLogError::Encode { file: key.clone(), source })?;
            Ok(RecordFile { key, bytes, records: records.len() })
        };
        slots.into_iter().map(file).collect()
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
    encode(kind, format, &records)
        .map_err(|source| FlowLogError::Encode { file: kind.suffix().to_owned(), source })
}

fn encode<R: Fields>(kind: FileKind, format: &Format, records: &[&R]) -> std::io::Result<Vec<u8>> {
    match kind {
        FileKind::Text => text::write(format, false, records),
        FileKind::Gzip => text::write(format, true, records),
        FileKind::Parquet => parquet_file::write(format, records).map_err(std::io::Error::other),
    }
}
