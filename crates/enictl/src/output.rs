//! Printing an answer: for a person, or as the protobuf message for a program.

use std::io::{self, Write};

use clap::ValueEnum;
use serde::Serialize;

use crate::failure::Failure;

/// How an answer is printed: as aligned text, or as the message with its keys in camelCase; flow records also
/// as CSV. (A comment on a value
/// would make each command's help list the values a line each.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Format {
    #[default]
    Table,
    Json,
    Yaml,
    Csv,
}

impl Format {
    /// Why a command whose answer is no list of records does not print CSV.
    pub(crate) fn no_csv() -> Failure {
        Failure::Usage("only `enictl flows` prints CSV".to_owned())
    }

    /// Prints `message`, which `table` writes for a person.
    pub(crate) fn print<M: Serialize>(
        self,
        message: &M,
        table: impl FnOnce(&M) -> String,
    ) -> Result<(), Failure> {
        write(&match self {
            Self::Table => table(message),
            Self::Json => json(message, serde_json::to_string_pretty)?,
            Self::Yaml => yaml(message)?,
            Self::Csv => return Err(Self::no_csv()),
        })
    }
}

/// One message of several as JSON: a line each (JSON Lines).
pub(crate) fn json_line<M: Serialize>(message: &M) -> Result<String, Failure> {
    json(message, serde_json::to_string)
}

/// One message of several as YAML: a document each.
pub(crate) fn yaml_document<M: Serialize>(message: &M) -> Result<String, Failure> {
    Ok(format!("---\n{}", yaml(message)?))
}

fn json<M: Serialize>(
    message: &M,
    encode: impl FnOnce(&M) -> serde_json::Result<String>,
) -> Result<String, Failure> {
    let text =
        encode(message).map_err(|error| Failure::Encode { format: "JSON", reason: error.to_string() })?;
    Ok(text + "\n")
}

fn yaml<M: Serialize>(message: &M) -> Result<String, Failure> {
    serde_yaml_ng::to_string(message)
        .map_err(|error| Failure::Encode { format: "YAML", reason: error.to_string() })
}

/// Writes text to the standard output at once.
pub(crate) fn write(text: &str) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    output.write_all(text.as_bytes())?;
    Ok(output.flush()?)
}
