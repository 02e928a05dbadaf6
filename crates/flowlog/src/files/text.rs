//! Files of lines: the header, and a line a record.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::Part;
use crate::format::Format;
use crate::value::Fields;

/// Lines that are rendered before they are compressed: bounds the memory that a file takes.
const BYTES_A_WRITE: usize = 256 * 1024;
/// What a compressor holds back of what it was given; what it makes of that is no larger.
const BYTES_HELD_BACK: usize = 128 * 1024;
/// Of 1 (fast) to 9 (small). Lines of flow records shrink to a quarter with any; the higher ones take twice as long.
const LEVEL: u32 = 2;

/// Files of these records' lines, compressed or not, none larger than `largest`.
pub(super) fn write<R: Fields>(
    format: &Format,
    compressed: bool,
    records: &[&R],
    largest: usize,
) -> std::io::Result<Vec<Part>> {
    let mut parts = Vec::new();
    let mut lines = Lines::new(format, compressed);
    let mut line = String::new();
    for record in records {
        line.clear();
        format.render(*record, &mut line);
        line.push('\n');
        if lines.records > 0 && lines.most_bytes() + line.len() > largest {
            parts.push(std::mem::replace(&mut lines, Lines::new(format, compressed)).finish()?);
        }
        lines.add(&line)?;
    }
    parts.push(lines.finish()?);
    Ok(parts)
}

/// A file that is being written.
struct Lines {
    /// What is not compressed yet, or never is.
    text: String,
    encoder: Option<GzEncoder<Vec<u8>>>,
    records: usize,
}

impl Lines {
    fn new(format: &Format, compressed: bool) -> Self {
        let encoder = compressed.then(|| GzEncoder::new(Vec::new(), Compression::new(LEVEL)));
        Self { text: format.header() + "\n", encoder, records: 0 }
    }

    /// What the file may come to, if it ends here.
    fn most_bytes(&self) -> usize {
        let compressed = self.encoder.as_ref().map_or(0, |encoder| encoder.get_ref().len() + BYTES_HELD_BACK);
        compressed + self.text.len()
    }

    fn add(&mut self, line: &str) -> std::io::Result<()> {
        self.text.push_str(line);
        self.records += 1;
        if let Some(encoder) = &mut self.encoder
            && self.text.len() >= BYTES_A_WRITE
        {
            encoder.write_all(self.text.as_bytes())?;
            self.text.clear();
        }
        Ok(())
    }

    fn finish(self) -> std::io::Result<Part> {
        let Self { text, encoder, records } = self;
        let bytes = match encoder {
            None => text.into_bytes(),
            Some(mut encoder) => {
                encoder.write_all(text.as_bytes())?;
                encoder.finish()?
            }
        };
        Ok(Part { bytes, records })
    }
}
