//! What can go wrong with flow records and their files.

use std::path::{Path, PathBuf};

use enid_model::ModelError;

use crate::field::Field;

/// A failure of this crate: what failed, on which object, and why.
#[derive(Debug, thiserror::Error)]
pub enum FlowLogError {
    /// No field has this name.
    #[error("`{name}` is not a flow log field{}", did_you_mean(*nearest))]
    UnknownField {
        /// The name as given.
        name: String,
        /// The field whose name is nearest, where one is near.
        nearest: Option<Field>,
    },
    /// A field is named twice, so that a reader could not tell which value is meant.
    #[error("the field `{0}` is there twice")]
    RepeatedField(Field),
    /// The text is not a format string.
    #[error("`{text}` is not a flow log format: {reason}, at character {position}")]
    MalformedFormat {
        /// The text as given.
        text: String,
        /// Where it stops being one, counted from 1.
        position: usize,
        /// What is wrong there.
        reason: &'static str,
    },
    /// An identifier or address that a user wrote is not one.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The first line of a file does not name fields.
    #[error("{}: line 1 is not a header of field names: {source}", file.display())]
    Header {
        /// The file.
        file: PathBuf,
        /// What is wrong with the line.
        source: Box<FlowLogError>,
    },
    /// The first line of a file is not text, or does not end.
    #[error("{}: line 1 is not a header of field names: {reason}", file.display())]
    HeaderLine {
        /// The file.
        file: PathBuf,
        /// What is wrong with the line.
        reason: LineError,
    },
    /// A line of a file is not a record.
    #[error("{}: line {line}: {reason}", file.display())]
    Line {
        /// The file.
        file: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// What is wrong with it.
        reason: LineError,
    },
    /// A filter or a grouping asks for what the records do not hold.
    #[error("the files do not hold the field `{field}` that {needed_by} needs")]
    MissingField {
        /// The field.
        field: Field,
        /// The option that asks for it: `--class`.
        needed_by: &'static str,
    },
    /// As [`FlowLogError::MissingField`], of one file.
    #[error("{}: the file does not hold the field `{field}` that {needed_by} needs", file.display())]
    FileMissingField {
        /// The file.
        file: PathBuf,
        /// The field.
        field: Field,
        /// The option that asks for it: `--class`.
        needed_by: &'static str,
    },
    /// A time is too far away to have a date.
    #[error("{0} seconds after 1970 is not a time that a file name can hold")]
    Time(u64),
    /// Records could not be made a file.
    #[error("can't make the file {file}: {source}")]
    Encode {
        /// The file's key.
        file: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A file is not Parquet, or not whole.
    #[error("{}: {reason}", file.display())]
    Parquet {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A row of a Parquet file is not a record.
    #[error("{}: row {row}: {reason}", file.display())]
    Row {
        /// The file.
        file: PathBuf,
        /// The row, counted from 1.
        row: u64,
        /// What is wrong with it.
        reason: LineError,
    },
    /// An object store refused something, or can't be reached.
    #[error("can't {action} {object}: {}", object_reason(source))]
    Object {
        /// What was being done: "write".
        action: &'static str,
        /// The object: `s3://bucket/key`.
        object: String,
        /// Why not.
        source: Box<object_store::Error>,
    },
    /// The operating system refused something.
    #[error("can't {action} {}: {source}", path.display())]
    Io {
        /// What was being done: "write to".
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

impl FlowLogError {
    /// Turns an error of the operating system into one that says what was done to which path.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    /// Whether there is no space left on the device.
    pub fn is_no_space(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull)
    }

    /// Names the file that does not hold a field; other errors stay as they are.
    pub(crate) fn in_file(self, file: &Path) -> Self {
        match self {
            Self::MissingField { field, needed_by } => {
                Self::FileMissingField { file: file.to_owned(), field, needed_by }
            }
            other => other,
        }
    }
}

/// What the store says, if it says something; else the first cause: what is around it repeats the address and the action.
fn object_reason(error: &object_store::Error) -> String {
    let whole = error.to_string();
    let part = |tag: &str| {
        let (_, rest) = whole.split_once(&format!("<{tag}>"))?;
        Some(rest.split_once("</")?.0.to_owned())
    };
    if let Some(code) = part("Code") {
        return part("Message").map_or_else(|| code.clone(), |message| format!("{code}: {message}"));
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    // Where the environment has none, an instance's metadata service is asked for them: as hard to reach as it may be, it is
    // not the store that is.
    if ["/latest/api/token", "/latest/meta-data/"].iter().any(|path| whole.contains(path)) {
        return format!(
            "there are no credentials: none in the environment, and none of the instance's metadata service: {cause}"
        );
    }
    cause.to_string()
}

fn did_you_mean(nearest: Option<Field>) -> String {
    nearest.map_or_else(String::new, |field| format!("; did you mean `{field}`?"))
}

/// Why a line is not a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// More or fewer values than the format has fields.
    #[error("expected {expected} values, found {found}")]
    Values {
        /// The number of fields.
        expected: usize,
        /// The number of values.
        found: usize,
    },
    /// A value is not of its field's form.
    #[error("{field} {value:?} is not {expected}")]
    Value {
        /// The field.
        field: Field,
        /// The value, cut short where it is long.
        value: String,
        /// What it should be, with its article.
        expected: &'static str,
    },
    /// The line is not UTF-8.
    #[error("the line is not UTF-8 text")]
    NotText,
    /// The line is longer than any record.
    #[error("the line is longer than {} bytes", crate::reader::MAX_LINE_BYTES)]
    TooLong,
    /// The file ends within the line: its writer was cut off.
    #[error("the line is torn: the file ends within it")]
    Torn,
}
