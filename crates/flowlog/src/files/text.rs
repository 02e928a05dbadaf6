//! Files of lines: the header, and a line a record.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::format::Format;
use crate::value::Fields;

/// Lines that are rendered before they are compressed: bounds the memory that a file takes.
const BYTES_A_WRITE: usize = 256 * 1024;
/// Of 1 (fast) to 9 (small). Lines of flow records shrink to a quarter with any; the higher ones take twice as long.
const LEVEL: u32 = 2;

/// The bytes of a file of these records' lines, compressed or not.
pub(crate) fn write<R: Fields>(
    format: &Format,
    compressed: bool,
    records: &[&R],
) -> std::io::Result<Vec<u8>> {
    let mut text = format.header();
    text.push('\n');
    let mut encoder = compressed.then(|| GzEncoder::new(Vec::new(), Compression::new(LEVEL)));
    for record in records {
        format.render(*record, &mut text);
        text.push('\n');
        if let Some(encoder) = &mut encoder
            && text.len() >= BYTES_A_WRITE
        {
            encoder.write_all(text.as_bytes())?;
            text.clear();
        }
    }
    match encoder {
        None => Ok(text.into_bytes()),
        Some(mut encoder) => {
            encoder.write_all(text.as_bytes())?;
            encoder.finish()
        }
    }
}
