//! Flow records: fields, formats, files, and reading them back.
//!
//! The way in: [`FlowRecord`]s of one flow become one ([`Aggregator`]), and many of them, in a [`Format`], the whole files of
//! a [`FileSeries`], which are put in a [`Place`], a directory or a bucket. The way out: a [`Scan`] reads the files of a
//! place, text, gzip or Parquet, that can hold what a [`Query`] wants, and a [`Summary`] or [`Histogram`] adds the
//! records up. All kinds of record answer for their [`Field`]s through [`Fields`].

mod aggregate;
mod error;
mod field;
mod file_name;
mod files;
mod filter;
mod format;
mod histogram;
mod interval;
mod parse;
mod parsed;
mod place;
mod reader;
mod record;
mod scan;
mod summary;
#[cfg(test)]
mod testing;
mod value;

pub use aggregate::{Aggregator, flow_hash};
pub use error::{FlowLogError, LineError};
pub use field::{Field, FieldKind};
pub use file_name::{FileKind, FileName, FlowLogId, SLOT_SECONDS};
pub use files::{FileSeries, Layout, RecordFile, encode_records};
pub use filter::{Cidr, Filter};
pub use format::Format;
pub use histogram::Histogram;
pub use interval::{interval_start, no_data_records};
pub use parse::LineParser;
pub use parsed::ParsedRecord;
pub use place::{Bucket, BucketAddress, Folder, Place, PlacedFile};
pub use reader::{MAX_LINE_BYTES, RecordReader};
pub use record::{
    Action, Direction, DropReason, FlowRecord, Interface, IpType, LogStatus, Loss, Observation, Traffic,
};
pub use scan::{Progress, Query, Scan, ScannedRecord, no_progress};
pub use summary::{GroupBy, Key, SortBy, Summary, Totals};
pub use value::{Fields, Value};
