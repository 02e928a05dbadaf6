//! One file of records, line by line.

use std::io::{BufRead, Read as _};
use std::path::{Path, PathBuf};

use crate::error::{FlowLogError, LineError};
use crate::format::Format;
use crate::parse::LineParser;
use crate::parsed::ParsedRecord;

/// The longest line that is read: far above any record, and a bound on memory where a file is not text.
pub const MAX_LINE_BYTES: usize = 64 * 1024;

/// The records of a file, as an iterator. A bad line is an error and the next line follows; after an error of the
/// operating system the iterator ends.
#[derive(Debug)]
pub struct RecordReader<R> {
    input: R,
    file: PathBuf,
    /// None for an empty file, which has no header yet.
    parser: Option<LineParser>,
    line: u64,
    buffer: Vec<u8>,
    ended: bool,
}

impl<R: BufRead> RecordReader<R> {
    /// Reads the header; `file` is the name that errors give.
    pub fn new(input: R, file: impl Into<PathBuf>) -> Result<Self, FlowLogError> {
        let mut reader =
            Self { input, file: file.into(), parser: None, line: 0, buffer: Vec::new(), ended: false };
        let header = match reader.next_line()? {
            None => return Ok(reader),
            Some(Ok(())) => std::str::from_utf8(&reader.buffer).map_err(|_| LineError::NotText),
            Some(Err(reason)) => Err(reason),
        };
        let header =
            header.map_err(|reason| FlowLogError::HeaderLine { file: reader.file.clone(), reason })?;
        let format = Format::from_header(header)
            .map_err(|source| FlowLogError::Header { file: reader.file.clone(), source: Box::new(source) })?;
        reader.parser = Some(LineParser::new(format));
        Ok(reader)
    }

    /// The format that the header names; none for an empty file.
    pub fn format(&self) -> Option<&Format> {
        self.parser.as_ref().map(LineParser::format)
    }

    /// The file's name.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Fills the buffer with the next line, without its end; none at the end of the file. Of a line that is too long,
    /// the rest is passed over.
    fn next_line(&mut self) -> Result<Option<Result<(), LineError>>, FlowLogError> {
        self.buffer.clear();
        self.line += 1;
        if self.read_part()? == 0 {
            return Ok(None);
        }
        if self.buffer.pop_if(|byte| *byte == b'\n').is_some() {
            return Ok(Some(Ok(())));
        }
        if self.buffer.len() < MAX_LINE_BYTES {
            return Ok(Some(Err(LineError::Torn)));
        }
        loop {
            self.buffer.clear();
            if self.read_part()? == 0 || self.buffer.last() == Some(&b'\n') {
                return Ok(Some(Err(LineError::TooLong)));
            }
        }
    }

    fn read_part(&mut self) -> Result<usize, FlowLogError> {
        self.input
            .by_ref()
            .take(MAX_LINE_BYTES as u64)
            .read_until(b'\n', &mut self.buffer)
            .map_err(FlowLogError::io("read", &self.file))
    }

    fn bad_line(&self, reason: LineError) -> FlowLogError {
        FlowLogError::Line { file: self.file.clone(), line: self.line, reason }
    }
}

impl<R: BufRead> Iterator for RecordReader<R> {
    type Item = Result<ParsedRecord, FlowLogError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended || self.parser.is_none() {
            return None;
        }
        let line = match self.next_line() {
            Ok(line) => line,
            Err(error) => {
                self.ended = true;
                return Some(Err(error));
            }
        };
        let parsed = match line {
            None => {
                self.ended = true;
                return None;
            }
            Some(Err(reason)) => Err(reason),
            Some(Ok(())) => {
                std::str::from_utf8(&self.buffer).map_err(|_| LineError::NotText).and_then(|line| {
                    self.parser.as_mut().map_or(Ok(ParsedRecord::default()), |parser| parser.parse(line))
                })
            }
        };
        Some(parsed.map_err(|reason| self.bad_line(reason)))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test helpers")]
mod tests {
    use super::*;
    use crate::testing::{line, ssh};
    use proptest::prelude::*;

    fn read(bytes: &[u8]) -> Vec<Result<ParsedRecord, String>> {
        RecordReader::new(bytes, "a.log")
            .unwrap()
            .map(|record| record.map_err(|error| error.to_string()))
            .collect()
    }

    fn file(lines: &[&str]) -> String {
        format!("{}\n{}", Format::default().header(), lines.concat())
    }

    #[test]
    fn bad_lines_are_named_and_passed_over() {
        let good = line(&Format::default(), &ssh()) + "\n";
        let long = "x".repeat(3 * MAX_LINE_BYTES) + "\n";
        let text = file(&[&good, "junk\n", &good, &long, "\n", &good, "2 1234"]);
        let records = read(text.as_bytes());
        let errors: Vec<_> = records.iter().filter_map(|record| record.as_ref().err()).collect();
        assert_eq!(
            errors,
            [
                "a.log: line 3: expected 14 values, found 1",
                "a.log: line 5: the line is longer than 65536 bytes",
                "a.log: line 6: expected 14 values, found 1",
                "a.log: line 8: the line is torn: the file ends within it",
            ]
        );
        assert_eq!(records.len(), 7);
    }

    #[test]
    fn lines_that_are_not_text_are_named() {
        let mut bytes = file(&[]).into_bytes();
        bytes.extend(b"\xff\xfe\n");
        assert_eq!(read(&bytes), [Err("a.log: line 2: the line is not UTF-8 text".to_owned())]);
    }

    #[test]
    fn a_bad_header_names_the_file() {
        for (text, message) in [
            (
                &b"version srcadr\n"[..],
                "a.log: line 1 is not a header of field names: `srcadr` is not a flow log field; did you mean \
                 `srcaddr`?",
            ),
            (
                b"version",
                "a.log: line 1 is not a header of field names: the line is torn: the file ends within it",
            ),
            (b"\xff\n", "a.log: line 1 is not a header of field names: the line is not UTF-8 text"),
        ] {
            assert_eq!(RecordReader::new(text, "a.log").unwrap_err().to_string(), message);
        }
        assert!(read(b"").is_empty());
    }

    proptest! {
        #[test]
        fn any_bytes_are_records_or_errors(bytes in prop::collection::vec(any::<u8>(), 0..400), header: bool) {
            let mut input = if header { file(&[]).into_bytes() } else { Vec::new() };
            input.extend(bytes);
            if let Ok(reader) = RecordReader::new(&*input, "a.log") {
                reader.for_each(drop);
            }
        }

        #[test]
        fn a_file_cut_anywhere_gives_its_whole_lines(cut in any::<prop::sample::Index>()) {
            let good = line(&Format::default(), &ssh()) + "\n";
            let text = file(&[&good, &good, &good]);
            let header = text.len() - 3 * good.len();
            let cut = header + cut.index(3 * good.len() + 1);
            let records = read(&text.as_bytes()[..cut]);
            let whole = (cut - header) / good.len();
            prop_assert_eq!(records.iter().filter(|record| record.is_ok()).count(), whole);
            prop_assert_eq!(records.len(), (cut - header).div_ceil(good.len()));
        }
    }
}
