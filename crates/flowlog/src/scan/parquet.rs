//! A Parquet file that is being read: which row groups can hold what is wanted, and their columns.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::metadata::{
    ColumnChunkMetaData, ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData,
};
use parquet::file::statistics::Statistics;

use crate::error::FlowLogError;
use crate::field::Field;
use crate::files::field_of_column;
use crate::filter::{Condition, Filter};
use crate::format::Format;
use crate::scan::column::Column;
use crate::scan::object::Object;
use crate::scan::pages::{Chunk, corrupt, read_column};
use crate::value::{Fields, Value};

/// The footer's length and the mark that a file ends in.
const FOOTER_SIZE: usize = 8;
/// What of a file's end is read at once: mostly all of the footer.
const FOOTER_GUESS: u64 = 64 * 1024;
/// The longest footer that is read.
const LARGEST_FOOTER: u64 = 256 * 1024 * 1024;
/// The most rows of a group: far above any writer's, and a bound on what a corrupt count takes.
const MOST_ROWS: usize = 1 << 24;

/// An open Parquet file.
#[derive(Debug)]
pub(crate) struct ParquetFile {
    object: Object,
    metadata: ParquetMetaData,
    /// The columns that are fields: the field, and the column's index.
    columns: Vec<(Field, usize)>,
}

impl ParquetFile {
    /// Reads the footer.
    pub(crate) fn open(object: Object) -> Result<Self, FlowLogError> {
        let metadata = read_metadata(&object)?;
        let mut columns: Vec<(Field, usize)> = Vec::new();
        for (index, column) in metadata.file_metadata().schema_descr().columns().iter().enumerate() {
            let is_flat = column.path().parts().len() == 1 && column.max_rep_level() == 0;
            if let Some(field) = field_of_column(column.name()).filter(|_| is_flat)
                && columns.iter().all(|(other, _)| *other != field)
            {
                columns.push((field, index));
            }
        }
        Ok(Self { object, metadata, columns })
    }

    pub(crate) fn name(&self) -> &Path {
        self.object.name()
    }

    pub(crate) const fn size(&self) -> u64 {
        self.object.size
    }

    /// The fields that the file holds, in the order of its columns. Other columns are passed over.
    pub(crate) fn format(&self) -> Result<Format, FlowLogError> {
        Format::new(self.columns.iter().map(|(field, _)| *field).collect())
            .map_err(|_| self.error(&corrupt("no column is a flow log's field")))
    }

    /// The row groups that may hold records which the filter lets through.
    pub(crate) fn groups(&self, filter: &Filter) -> Vec<usize> {
        let (conditions, alternatives) = (filter.conditions(), filter.alternatives());
        let may_match = |group: &RowGroupMetaData| {
            let may_hold = |field: Field, condition| self.may_hold(group, field, condition);
            conditions.iter().all(|(field, condition)| may_hold(*field, condition))
                && alternatives
                    .iter()
                    .all(|(fields, condition)| fields.iter().any(|field| may_hold(*field, condition)))
        };
        let groups = self.metadata.row_groups().iter().enumerate();
        groups.filter(|(_, group)| may_match(group)).map(|(index, _)| index).collect()
    }

    /// Whether the statistics of the field's column leave it open that a value meets the condition.
    fn may_hold(&self, group: &RowGroupMetaData, field: Field, condition: &Condition<'_>) -> bool {
        let column = self.columns.iter().find(|(other, _)| *other == field);
        let chunk = column.and_then(|(_, index)| group.columns().get(*index));
        chunk.and_then(ColumnChunkMetaData::statistics).is_none_or(|statistics| {
            let all_null = u64::try_from(group.num_rows()).ok() == statistics.null_count_opt();
            !all_null && overlaps(statistics, condition)
        })
    }

    /// The bytes that a row group takes in the file.
    pub(crate) fn group_size(&self, group: usize) -> u64 {
        let size = self.metadata.row_groups().get(group).map_or(0, RowGroupMetaData::compressed_size);
        u64::try_from(size).unwrap_or(0).min(self.size())
    }

    /// Reads the records of a row group that the filter lets through: first the columns that it asks for, the others
    /// only where there is such a record.
    pub(crate) fn read_group(
        &self,
        group: usize,
        filter: &Filter,
        wanted: &dyn Fn(Field) -> bool,
    ) -> Result<Rows, FlowLogError> {
        let metadata = self.metadata.row_groups().get(group);
        let metadata = metadata.ok_or_else(|| self.error(&corrupt("a row group is not there")))?;
        let count = usize::try_from(metadata.num_rows()).ok().filter(|rows| *rows <= MOST_ROWS);
        let count = count.ok_or_else(|| self.error(&corrupt("a row group has more rows than any has")))?;
        let first =
            self.metadata.row_groups().iter().take(group).map(|group| group.num_rows().unsigned_abs());
        let mut rows = Rows {
            file: self.object.name.clone(),
            first: first.fold(1, u64::saturating_add),
            columns: Vec::new(),
            by_field: [NO_COLUMN; Field::ALL.len()],
            selected: Vec::new(),
        };
        let is_asked_for = |field: Field| filter.conditions().iter().any(|(other, _)| *other == field);
        self.read_columns(metadata, count, &mut rows, &is_asked_for)?;
        let all = 0..u32::try_from(count).unwrap_or(0);
        rows.selected = if rows.columns.is_empty() {
            all.collect()
        } else {
            // Rows whose values are bad are kept, to be reported.
            let is_wanted = |row: &u32| {
                let row = Row { rows: &rows, row: *row as usize };
                filter.matches(&row) || row.is_bad()
            };
            all.filter(is_wanted).collect()
        };
        if !rows.selected.is_empty() {
            self.read_columns(metadata, count, &mut rows, &|field| wanted(field) && !is_asked_for(field))?;
        }
        Ok(rows)
    }

    fn read_columns(
        &self,
        group: &RowGroupMetaData,
        count: usize,
        rows: &mut Rows,
        wanted: &dyn Fn(Field) -> bool,
    ) -> Result<(), FlowLogError> {
        let mut chunks = Vec::new();
        let mut ranges = Vec::new();
        for (field, index) in self.columns.iter().filter(|(field, _)| wanted(*field)) {
            let chunk =
                group.columns().get(*index).ok_or_else(|| self.error(&corrupt("a column is not there")))?;
            let range = chunk_range(chunk).filter(|range| range.end <= self.size());
            ranges.push(range.ok_or_else(|| self.error(&corrupt("a column reaches beyond the file")))?);
            chunks.push((*field, chunk));
        }
        if ranges.is_empty() {
            return Ok(());
        }
        let bytes = self.object.read_parts(&ranges)?;
        for (((field, chunk), range), bytes) in chunks.into_iter().zip(ranges).zip(bytes) {
            let chunk_bytes = Chunk { begin: range.start, bytes };
            let column = unless_it_panics(|| read_column(field, chunk, chunk_bytes, count));
            rows.push(column.map_err(|error| self.error(&error))?);
        }
        Ok(())
    }

    fn error(&self, error: &ParquetError) -> FlowLogError {
        parquet_error(self.name(), error)
    }
}

fn parquet_error(file: &Path, error: &ParquetError) -> FlowLogError {
    let reason = match error {
        ParquetError::General(reason) | ParquetError::EOF(reason) => reason.clone(),
        other => other.to_string(),
    };
    FlowLogError::Parquet { file: file.to_owned(), reason }
}

/// The library has assertions that corrupt files run into: to them, as to all else that is wrong, the answer is an error.
fn unless_it_panics<T>(read: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ParquetError> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err(corrupt("the file is corrupt")))
}

fn read_metadata(object: &Object) -> Result<ParquetMetaData, FlowLogError> {
    let error = |error: &ParquetError| parquet_error(object.name(), error);
    let footer = FOOTER_SIZE as u64;
    if object.size < footer + 4 {
        return Err(error(&corrupt("the file is too short to be Parquet")));
    }
    let mut begin = object.size.saturating_sub(FOOTER_GUESS);
    let mut end = object.read(begin..object.size)?;
    let Some((rest, [length @ .., b'P', b'A', b'R', b'1'])) = end.split_last_chunk::<FOOTER_SIZE>() else {
        return Err(error(&corrupt("the file does not end as Parquet does: it is not, or is cut off")));
    };
    let length = u64::from(u32::from_le_bytes(*length));
    if length > LARGEST_FOOTER || length > object.size - footer {
        return Err(error(&corrupt("the footer reaches beyond the file")));
    }
    if length > rest.len() as u64 {
        begin = object.size - footer - length;
        end = object.read(begin..object.size)?;
    }
    let metadata = usize::try_from(object.size - footer - length - begin).ok();
    let metadata: Option<Bytes> = metadata.map(|at| end.slice(at..end.len() - FOOTER_SIZE));
    unless_it_panics(|| ParquetMetaDataReader::decode_metadata(&metadata.unwrap_or_default()))
        .map_err(|e| error(&e))
}

/// Where a column's pages are; none where the offsets make no sense.
fn chunk_range(chunk: &ColumnChunkMetaData) -> Option<Range<u64>> {
    let begin =
        u64::try_from(chunk.dictionary_page_offset().unwrap_or_else(|| chunk.data_page_offset())).ok()?;
    let length = u64::try_from(chunk.compressed_size()).ok()?;
    Some(begin..begin.checked_add(length)?)
}

/// Whether a value between the least and the most can meet the condition.
fn overlaps(statistics: &Statistics, condition: &Condition<'_>) -> bool {
    match condition {
        Condition::Between(since, until) => {
            let (least, most) = match statistics {
                Statistics::Int32(values) => (
                    values.min_opt().map(|value| i64::from(*value)),
                    values.max_opt().map(|value| i64::from(*value)),
                ),
                Statistics::Int64(values) => (values.min_opt().copied(), values.max_opt().copied()),
                _ => return true,
            };
            // Negative numbers are bad values, to be reported.
            let least =
                least.is_none_or(|least| u64::try_from(least).is_ok_and(|least| least < *until) || least < 0);
            least && most.is_none_or(|most| u64::try_from(most).is_ok_and(|most| *since <= most))
        }
        Condition::Equal(text) => {
            let Statistics::ByteArray(values) = statistics else { return true };
            // In the order that older writers used, least and most say nothing.
            statistics.is_min_max_deprecated()
                || (values.min_opt().is_none_or(|least| least.data() <= text.as_bytes())
                    && values.max_opt().is_none_or(|most| text.as_bytes() <= most.data()))
        }
        Condition::Other => true,
    }
}

const NO_COLUMN: u8 = u8::MAX;

/// The wanted records of a row group.
#[derive(Debug)]
pub(crate) struct Rows {
    file: PathBuf,
    /// The number of the group's first row in the file, counted from 1.
    first: u64,
    columns: Vec<Column>,
    by_field: [u8; Field::ALL.len()],
    selected: Vec<u32>,
}

impl Rows {
    fn push(&mut self, column: Column) {
        if let Some(place) = self.by_field.get_mut(column.field() as usize) {
            // There are fewer columns than fields.
            *place = u8::try_from(self.columns.len()).unwrap_or(NO_COLUMN);
        }
        self.columns.push(column);
    }

    /// The field's column.
    pub(crate) fn column(&self, field: Field) -> Option<&Column> {
        self.columns.get(usize::from(*self.by_field.get(field as usize)?))
    }

    /// The rows of the records.
    pub(crate) fn selected(&self) -> &[u32] {
        &self.selected
    }

    /// Whether any value is not of its field's form.
    pub(crate) fn has_bad(&self) -> bool {
        self.columns.iter().any(Column::has_bad)
    }

    /// The records, in the file's order; for those that are none, what is wrong.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Result<Row<'_>, FlowLogError>> {
        let has_bad = self.has_bad();
        self.selected.iter().map(move |row| {
            let row = Row { rows: self, row: *row as usize };
            match row.bad().filter(|_| has_bad) {
                None => Ok(row),
                Some(reason) => Err(FlowLogError::Row {
                    file: self.file.clone(),
                    row: self.first.saturating_add(row.row as u64),
                    reason: reason.clone(),
                }),
            }
        })
    }
}

/// A record of a row group.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    rows: &'a Rows,
    row: usize,
}

impl<'a> Row<'a> {
    fn bad(&self) -> Option<&'a crate::error::LineError> {
        self.rows.columns.iter().find_map(|column| column.bad(self.row))
    }

    fn is_bad(&self) -> bool {
        self.bad().is_some()
    }

    pub(crate) fn get(&self, field: Field) -> Option<Value<'a>> {
        if field == Field::Version {
            // The format's to tell.
            return None;
        }
        self.rows.column(field)?.value(self.row)
    }
}

impl Fields for Row<'_> {
    fn value(&self, field: Field) -> Option<Value<'_>> {
        self.get(field)
    }
}
