//! Parquet files: a column a field, names with underscores, types as published.

use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{Compression, Encoding, LogicalType, Repetition, Type as PhysicalType};
use parquet::column::page::{CompressedPage, Page, PageWriteSpec, PageWriter};
use parquet::column::writer::{
    ColumnCloseResult, ColumnWriter, get_column_writer, get_typed_column_writer_mut,
};
use parquet::data_type::{ByteArray, ByteArrayType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, PageEncodingStats};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesPtr};
use parquet::file::writer::{SerializedFileWriter, SerializedPageWriter, TrackedWrite};
use parquet::schema::types::{ColumnDescPtr, SchemaDescriptor, Type, TypePtr};

use super::Part;
use crate::field::{Field, FieldKind};
use crate::format::Format;
use crate::value::{Fields, Value};

/// The records of a row group. Records come sorted by time, so a range of time takes few groups; 65,536 of them are a
/// few megabytes in memory, and enough for a dictionary to pay.
const ROWS_A_GROUP: usize = 65_536;
/// A dictionary as large as all addresses of a group. The library's default stops at half of that.
const DICTIONARY_BYTES: usize = 2 * 1024 * 1024;

/// The name of the field's column.
pub(crate) fn column_name(field: Field) -> String {
    field.name().replace('-', "_")
}

/// The field of a column; none where it is somebody else's.
pub(crate) fn field_of_column(name: &str) -> Option<Field> {
    Field::ALL.iter().copied().find(|field| {
        field.name().len() == name.len()
            && field
                .name()
                .bytes()
                .zip(name.bytes())
                .all(|(ours, theirs)| ours == theirs || (ours, theirs) == (b'-', b'_'))
    })
}

/// What the footer says of a column of a row group, at most: offsets, sizes, encodings and statistics, whose texts are cut
/// off at 64 bytes.
const FOOTER_BYTES_A_COLUMN: usize = 768;
/// And of the file and its columns.
const FOOTER_BYTES: usize = 8 * 1024;

/// Parquet files of these records, none larger than `largest`.
pub(super) fn write<R: Fields>(
    format: &Format,
    records: &[&R],
    largest: usize,
) -> Result<Vec<Part>, ParquetError> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true)
        .set_dictionary_page_size_limit(DICTIONARY_BYTES)
        .set_created_by(concat!("enid version ", env!("CARGO_PKG_VERSION")).to_owned())
        .build();
    let properties = Arc::new(properties);
    let schema = schema(format)?;
    let columns = SchemaDescriptor::new(Arc::clone(&schema));
    let begin = || SerializedFileWriter::new(Vec::new(), Arc::clone(&schema), Arc::clone(&properties));
    let mut parts = Vec::new();
    let (mut file, mut in_file, mut footer) = (begin()?, 0, FOOTER_BYTES);
    // Row groups to be, the next one last.
    let mut waiting: Vec<&[&R]> = records.chunks(ROWS_A_GROUP).rev().collect();
    while let Some(rows) = waiting.pop() {
        let group = write_group(format, rows, columns.columns(), &properties)?;
        let size: usize = group.iter().map(|(bytes, _)| bytes.len() + FOOTER_BYTES_A_COLUMN).sum();
        if file.bytes_written() + footer + size > largest {
            // One that is too large for any file is halved.
            if FOOTER_BYTES + size > largest && rows.len() > 1 {
                let (first, second) = rows.split_at(rows.len() / 2);
                waiting.extend([second, first]);
                continue;
            }
            if in_file > 0 {
                let whole = std::mem::replace(&mut file, begin()?);
                parts.push(Part { bytes: whole.into_inner()?, records: in_file });
                (in_file, footer) = (0, FOOTER_BYTES);
            }
        }
        let mut writer = file.next_row_group()?;
        footer += group.len() * FOOTER_BYTES_A_COLUMN;
        for (bytes, closed) in group {
            writer.append_column(&bytes, closed)?;
        }
        writer.close()?;
        in_file += rows.len();
    }
    parts.push(Part { bytes: file.into_inner()?, records: in_file });
    Ok(parts)
}

/// The columns of a row group.
fn write_group<R: Fields>(
    format: &Format,
    rows: &[&R],
    columns: &[ColumnDescPtr],
    properties: &WriterPropertiesPtr,
) -> Result<Vec<(Bytes, ColumnCloseResult)>, ParquetError> {
    let write = |(field, column): (&Field, &ColumnDescPtr)| {
        let mut bytes = TrackedWrite::new(Vec::new());
        let pages = Box::new(OldNumber(SerializedPageWriter::new(&mut bytes)));
        let mut writer = get_column_writer(Arc::clone(column), Arc::clone(properties), pages);
        write_column(*field, format.version(), rows, &mut writer)?;
        let mut closed = writer.close()?;
        closed.metadata = with_old_number(closed.metadata)?;
        Ok((Bytes::from(bytes.into_inner()?), closed))
    };
    format.fields().iter().zip(columns).map(write).collect()
}

fn schema(format: &Format) -> Result<TypePtr, ParquetError> {
    let columns = format.fields().iter().map(|field| {
        let (physical, logical) = match field.kind() {
            FieldKind::Small => (PhysicalType::INT32, None),
            FieldKind::Count => (PhysicalType::INT64, None),
            FieldKind::Address | FieldKind::Text => (PhysicalType::BYTE_ARRAY, Some(LogicalType::String)),
        };
        let column = Type::primitive_type_builder(&column_name(*field), physical)
            .with_repetition(Repetition::OPTIONAL)
            .with_logical_type(logical)
            .build()?;
        Ok(Arc::new(column))
    });
    let columns = columns.collect::<Result<_, ParquetError>>()?;
    Ok(Arc::new(Type::group_type_builder("flow_records").with_fields(columns).build()?))
}

fn write_column<R: Fields>(
    field: Field,
    version: u8,
    rows: &[&R],
    column: &mut ColumnWriter<'_>,
) -> Result<(), ParquetError> {
    let mut levels = Vec::with_capacity(rows.len());
    let mut present = |value: Option<Value<'_>>| levels.push(i16::from(value.is_some()));
    match field.kind() {
        FieldKind::Small => {
            let mut values: Vec<i32> = Vec::with_capacity(rows.len());
            for row in rows {
                let value = if field == Field::Version {
                    Some(Value::Number(version.into()))
                } else {
                    row.value(field)
                };
                present(value);
                values.extend(value.map(|value| i32::try_from(number(value)).unwrap_or(i32::MAX)));
            }
            get_typed_column_writer_mut::<Int32Type>(column).write_batch(&values, Some(&levels), None)?;
        }
        FieldKind::Count => {
            let mut values: Vec<i64> = Vec::with_capacity(rows.len());
            for row in rows {
                let value = row.value(field);
                present(value);
                values.extend(value.map(|value| i64::try_from(number(value)).unwrap_or(i64::MAX)));
            }
            get_typed_column_writer_mut::<Int64Type>(column).write_batch(&values, Some(&levels), None)?;
        }
        FieldKind::Address | FieldKind::Text => {
            let mut texts = Texts::default();
            for row in rows {
                let value = row.value(field);
                present(value);
                if let Some(value) = value {
                    texts.push(value)?;
                }
            }
            get_typed_column_writer_mut::<ByteArrayType>(column).write_batch(
                &texts.finish(),
                Some(&levels),
                None,
            )?;
        }
    }
    Ok(())
}

/// Writes pages as the library does, but calls their dictionary encoding by its number of before 2013, as most writers
/// do to this day and older readers want: the bytes are the same (Parquet format, "Encodings": PLAIN_DICTIONARY = 2 and
/// RLE_DICTIONARY = 8).
struct OldNumber<'a>(SerializedPageWriter<'a, Vec<u8>>);

impl PageWriter for OldNumber<'_> {
    fn write_page(&mut self, page: CompressedPage) -> Result<PageWriteSpec, ParquetError> {
        let length = page.uncompressed_size();
        let mut page = page.compressed_page().clone();
        if let Page::DataPage { encoding, .. } = &mut page {
            *encoding = old_number(*encoding);
        }
        self.0.write_page(CompressedPage::new(page, length))
    }

    fn close(&mut self) -> Result<(), ParquetError> {
        self.0.close()
    }
}

const fn old_number(encoding: Encoding) -> Encoding {
    match encoding {
        Encoding::RLE_DICTIONARY => Encoding::PLAIN_DICTIONARY,
        other => other,
    }
}

/// What is said of a column's pages, as they are.
fn with_old_number(metadata: ColumnChunkMetaData) -> Result<ColumnChunkMetaData, ParquetError> {
    let encodings = metadata.encodings().map(old_number).collect();
    let statistics = metadata.page_encoding_stats().cloned().unwrap_or_default().into_iter();
    let statistics = statistics.map(|page| PageEncodingStats { encoding: old_number(page.encoding), ..page });
    let statistics = statistics.collect();
    metadata.into_builder().set_encodings(encodings).set_page_encoding_stats(statistics).build()
}

/// A count beyond what the column's type holds is shown as the most that it holds: INT64 is what is published.
const fn number(value: Value<'_>) -> u64 {
    match value {
        Value::Number(number) => number,
        _ => 0,
    }
}

/// The texts of a column in one piece of memory. Neighbours that are equal are rendered once.
#[derive(Default)]
struct Texts<'a> {
    bytes: Vec<u8>,
    places: Vec<(usize, usize)>,
    last: Option<Value<'a>>,
}

impl<'a> Texts<'a> {
    fn push(&mut self, value: Value<'a>) -> std::io::Result<()> {
        use std::io::Write as _;
        if self.last == Some(value) {
            self.places.extend(self.places.last().copied());
            return Ok(());
        }
        let begin = self.bytes.len();
        match value {
            Value::Text(text) => self.bytes.extend_from_slice(text.as_bytes()),
            other => write!(self.bytes, "{other}")?,
        }
        self.places.push((begin, self.bytes.len()));
        self.last = Some(value);
        Ok(())
    }

    fn finish(self) -> Vec<ByteArray> {
        let bytes = Bytes::from(self.bytes);
        self.places.into_iter().map(|(begin, end)| bytes.slice(begin..end).into()).collect()
    }
}
