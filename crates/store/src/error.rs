//! What can fail in the store.

use std::io;
use std::path::PathBuf;

/// A failure of a database.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database can't be opened, or a transaction failed.
    #[error("can't {action} the database {path}: {source}")]
    Database {
        /// What was to be done.
        action: &'static str,
        /// Which database.
        path: PathBuf,
        /// What redb said.
        source: Box<redb::Error>,
    },
    /// A value is not what this version writes.
    #[error("the database {path} holds a value that this version can't read, under `{key}`: {source}")]
    Value {
        /// Which database.
        path: PathBuf,
        /// The value's key.
        key: String,
        /// What the parser said.
        source: serde_json::Error,
    },
}

impl StoreError {
    /// Whether the file failed, and not what was asked of it.
    pub(crate) fn is_of_the_file(&self) -> bool {
        matches!(self, Self::Database { source, .. }
            if matches!(&**source, redb::Error::Io(_) | redb::Error::PreviousIo))
    }

    /// Whether there is no space left on the device.
    pub fn is_no_space(&self) -> bool {
        matches!(self, Self::Database { source, .. }
            if matches!(&**source, redb::Error::Io(error) if error.kind() == io::ErrorKind::StorageFull))
    }
}
