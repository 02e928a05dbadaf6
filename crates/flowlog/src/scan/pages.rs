//! The pages of a column chunk, read into a column.
//!
//! Dictionary and plain pages, which nearly all files have, are read here: an index a row, and each entry of a
//! dictionary checked once. Pages in other encodings are left to the library, value by value.

use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{Encoding, Type};
use parquet::column::page::{Page, PageReader};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_column_reader};
use parquet::data_type::DataType;
use parquet::errors::ParquetError;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::serialized_reader::SerializedPageReader;

use crate::field::Field;
use crate::scan::column::{Column, NULL};
use crate::scan::hybrid;

/// How many rows the library is asked for at a time.
const ROWS_A_READ: usize = 8192;

/// The bytes of a column chunk, at their place in the file.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) begin: u64,
    pub(crate) bytes: Bytes,
}

impl Length for Chunk {
    fn len(&self) -> u64 {
        self.begin + self.bytes.len() as u64
    }
}

impl ChunkReader for Chunk {
    type T = bytes::buf::Reader<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        self.bytes
            .get_read(start.checked_sub(self.begin).ok_or_else(|| corrupt("a page is before its column"))?)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let start = start.checked_sub(self.begin).and_then(|start| usize::try_from(start).ok());
        let range = start.and_then(|start| Some(start..start.checked_add(length)?));
        match range {
            Some(range) if range.end <= self.bytes.len() => Ok(self.bytes.slice(range)),
            _ => Err(corrupt("a page reaches beyond its column")),
        }
    }
}

pub(crate) fn corrupt(reason: &str) -> ParquetError {
    ParquetError::General(reason.to_owned())
}

/// Reads a column chunk of so many rows.
pub(crate) fn read_column(
    field: Field,
    metadata: &ColumnChunkMetaData,
    chunk: Chunk,
    rows: usize,
) -> Result<Column, ParquetError> {
    let mut column = Column::new(field, rows);
    let mut pages = SerializedPageReader::new(Arc::new(chunk), metadata, rows, None)?;
    let simple = metadata.encodings().all(|encoding| {
        use Encoding::{PLAIN, PLAIN_DICTIONARY, RLE, RLE_DICTIONARY};
        #[expect(deprecated, reason = "older writers list it for levels, even where there are none")]
        let levels = encoding == Encoding::BIT_PACKED;
        levels || matches!(encoding, PLAIN | PLAIN_DICTIONARY | RLE | RLE_DICTIONARY)
    });
    if simple {
        let optional = metadata.column_descr().max_def_level() > 0;
        read_pages(&mut pages, metadata.column_type(), optional, rows, &mut column)?;
    } else {
        match get_column_reader(metadata.column_descr_ptr(), Box::new(pages)) {
            ColumnReader::Int32ColumnReader(reader) => {
                read_values(reader, rows, &mut column, |column, value| {
                    column.push_number(i64::from(*value))
                })?;
            }
            ColumnReader::Int64ColumnReader(reader) => {
                read_values(reader, rows, &mut column, |column, value| column.push_number(*value))?;
            }
            ColumnReader::ByteArrayColumnReader(reader) => {
                read_values(reader, rows, &mut column, |column, value| column.push_text(value.data()))?;
            }
            _ => return Err(corrupt("a column's type is none that a flow log's fields have")),
        }
    }
    if column.rows() == rows { Ok(column) } else { Err(corrupt("a column has too few rows")) }
}

fn read_values<T: DataType>(
    mut reader: ColumnReaderImpl<T>,
    rows: usize,
    column: &mut Column,
    push: impl Fn(&mut Column, &T::T) -> u32,
) -> Result<(), ParquetError> {
    let (mut levels, mut values) = (Vec::new(), Vec::new());
    while column.rows() < rows {
        levels.clear();
        values.clear();
        let (read, _, _) = reader.read_records(ROWS_A_READ, Some(&mut levels), None, &mut values)?;
        if read == 0 {
            break;
        }
        let mut values = values.iter();
        for row in 0..read {
            let is_present = levels.get(row).is_none_or(|level| *level > 0);
            let value = if is_present { values.next() } else { None };
            let index = value.map_or(NULL, |value| push(column, value));
            column.indices().push(index);
        }
    }
    Ok(())
}

fn read_pages(
    pages: &mut impl PageReader,
    kind: Type,
    optional: bool,
    rows: usize,
    column: &mut Column,
) -> Result<(), ParquetError> {
    let mut dictionary = Vec::new();
    let mut levels = Vec::new();
    while let Some(page) = pages.get_next_page()? {
        let (values, present, encoding, count) = match &page {
            Page::DictionaryPage { buf, num_values, .. } => {
                dictionary = plain(kind, buf, *num_values as usize, column)?;
                continue;
            }
            Page::DataPage { buf, num_values, encoding, def_level_encoding, .. } => {
                let (mut values, mut present) = (&**buf, None);
                if optional {
                    let length = values.split_off(..4).and_then(|length| length.try_into().ok());
                    let length =
                        length.map(u32::from_le_bytes).and_then(|length| usize::try_from(length).ok());
                    present = length.and_then(|length| values.split_off(..length));
                    if present.is_none() || *def_level_encoding != Encoding::RLE {
                        return Err(corrupt("a page's levels are cut off, or in an outdated encoding"));
                    }
                }
                (values, present, *encoding, *num_values)
            }
            Page::DataPageV2 {
                buf, num_values, encoding, def_levels_byte_len, rep_levels_byte_len, ..
            } => {
                let mut values = &**buf;
                let repetition = values.split_off(..*rep_levels_byte_len as usize);
                let definition = values.split_off(..*def_levels_byte_len as usize);
                let (Some(_), Some(present)) = (repetition, definition) else {
                    return Err(corrupt("a page's levels are cut off"));
                };
                (values, optional.then_some(present), *encoding, *num_values)
            }
        };
        let count = count as usize;
        if count > rows - column.rows() {
            return Err(corrupt("a column has too many rows"));
        }
        levels.clear();
        if let Some(present) = present {
            hybrid::decode(present, 1, count, &mut levels)
                .ok_or_else(|| corrupt("a page's levels are cut off"))?;
        }
        let there =
            if present.is_some() { levels.iter().filter(|level| **level == 1).count() } else { count };
        let indices = match encoding {
            Encoding::PLAIN => plain(kind, values, there, column)?,
            #[expect(clippy::match_same_arms, reason = "two names of one encoding")]
            Encoding::RLE_DICTIONARY => looked_up(values, there, &dictionary)?,
            Encoding::PLAIN_DICTIONARY => looked_up(values, there, &dictionary)?,
            _ => return Err(corrupt("a page is in an encoding that its column does not list")),
        };
        if there == count {
            column.indices().extend(indices);
        } else {
            let mut indices = indices.into_iter();
            let placed =
                levels.iter().map(|level| if *level == 1 { indices.next().unwrap_or(NULL) } else { NULL });
            column.indices().extend(placed);
        }
    }
    Ok(())
}

/// The indices of a page whose values are in the dictionary.
fn looked_up(values: &[u8], count: usize, dictionary: &[u32]) -> Result<Vec<u32>, ParquetError> {
    let mut indices = Vec::with_capacity(count);
    if count == 0 {
        return Ok(indices);
    }
    let (width, values) = values.split_first().ok_or_else(|| corrupt("a page is cut off"))?;
    hybrid::decode(values, *width, count, &mut indices).ok_or_else(|| corrupt("a page is cut off"))?;
    for index in &mut indices {
        *index =
            *dictionary.get(*index as usize).ok_or_else(|| corrupt("a value is not in its dictionary"))?;
    }
    Ok(indices)
}

/// Adds values to the column, and returns their indices.
fn plain(kind: Type, mut bytes: &[u8], count: usize, column: &mut Column) -> Result<Vec<u32>, ParquetError> {
    let cut_off = || corrupt("a page is cut off");
    // Each value takes four bytes at least: a count that can't be is not made room for.
    let mut indices = Vec::with_capacity(count.min(bytes.len() / 4));
    for _ in 0..count {
        let index = match kind {
            Type::INT32 => {
                let number =
                    bytes.split_off(..4).and_then(|bytes| bytes.try_into().ok()).ok_or_else(cut_off)?;
                column.push_number(i32::from_le_bytes(number).into())
            }
            Type::INT64 => {
                let number =
                    bytes.split_off(..8).and_then(|bytes| bytes.try_into().ok()).ok_or_else(cut_off)?;
                column.push_number(i64::from_le_bytes(number))
            }
            Type::BYTE_ARRAY => {
                let length =
                    bytes.split_off(..4).and_then(|bytes| bytes.try_into().ok()).ok_or_else(cut_off)?;
                let length = usize::try_from(u32::from_le_bytes(length)).map_err(|_| cut_off())?;
                column.push_text(bytes.split_off(..length).ok_or_else(cut_off)?)
            }
            _ => return Err(corrupt("a column's type is none that a flow log's fields have")),
        };
        indices.push(index);
    }
    Ok(indices)
}
