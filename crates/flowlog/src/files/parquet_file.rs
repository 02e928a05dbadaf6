//! Parquet files: a column a field, names with underscores, types as published.

use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{Compression, LogicalType, Repetition, Type as PhysicalType};
use parquet::data_type::{ByteArray, ByteArrayType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::{Type, TypePtr};

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

/// The bytes of a Parquet file of these records.
pub(crate) fn write<R: Fields>(format: &Format, records: &[&R]) -> Result<Vec<u8>, ParquetError> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true)
        .set_dictionary_page_size_limit(DICTIONARY_BYTES)
        .set_created_by(concat!("enid version ", env!("CARGO_PKG_VERSION")).to_owned())
        .build();
    let mut file = SerializedFileWriter::new(Vec::new(), schema(format)?, Arc::new(properties))?;
    for rows in records.chunks(ROWS_A_GROUP) {
        let mut group = file.next_row_group()?;
        for field in format.fields() {
            let Some(mut column) = group.next_column()? else { break };
            write_column(*field, format.version(), rows, &mut column)?;
            column.close()?;
        }
        group.close()?;
    }
    file.into_inner()
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
    column: &mut SerializedColumnWriter<'_>,
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
            column.typed::<Int32Type>().write_batch(&values, Some(&levels), None)?;
        }
        FieldKind::Count => {
            let mut values: Vec<i64> = Vec::with_capacity(rows.len());
            for row in rows {
                let value = row.value(field);
                present(value);
                values.extend(value.map(|value| i64::try_from(number(value)).unwrap_or(i64::MAX)));
            }
            column.typed::<Int64Type>().write_batch(&values, Some(&levels), None)?;
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
            column.typed::<ByteArrayType>().write_batch(&texts.finish(), Some(&levels), None)?;
        }
    }
    Ok(())
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
