//! Flow records: fields, formats, files, and reading them back.
//!
//! The way in: a [`FlowRecord`] is rendered by a [`Format`] and appended to a [`LogDirectory`]. The way out:
//! [`read()`] streams the [`ParsedRecord`]s of a file or directory that a [`Filter`] lets through, and a [`Summary`]
//! adds them up. Both kinds of record answer for their [`Field`]s through [`Fields`].

mod aggregate;
mod directory;
mod error;
mod extent;
mod field;
mod file_name;
mod files;
mod filter;
mod format;
mod interval;
mod parse;
mod parsed;
mod place;
mod read;
mod reader;
mod record;
mod repair;
mod scan;
mod summary;
#[cfg(test)]
mod testing;
mod value;

pub use aggregate::Aggregator;
pub use directory::{LogDirectory, LogDirectoryOptions};
pub use error::{FlowLogError, LineError};
pub use extent::Extent;
pub use field::{Field, FieldKind};
pub use file_name::{FileKind, FileName, FlowLogId, SLOT_SECONDS};
pub use files::{FileSeries, Layout, RecordFile, encode_records};
pub use filter::{Cidr, Filter};
pub use format::Format;
pub use interval::{interval_start, no_data_records};
pub use parse::LineParser;
pub use parsed::ParsedRecord;
pub use place::{Bucket, BucketAddress, Folder, Place, PlacedFile};
pub use read::{Records, read};
pub use reader::{MAX_LINE_BYTES, RecordReader};
pub use record::{
    Action, Direction, DropReason, FlowRecord, Interface, IpType, LogStatus, Loss, Observation, Traffic,
};
pub use repair::Repaired;
pub use scan::{Progress, Query, Scan, ScannedRecord, no_progress};
pub use summary::{GroupBy, Key, SortBy, Summary, Totals};
pub use value::{Fields, Value};
