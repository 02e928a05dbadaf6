//! What can go wrong with the spool.

use std::io;
use std::path::{Path, PathBuf};

/// A failure of the spool: what failed, on which file, and why.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The operating system refused something.
    #[error("can't {action} {}: {source}", path.display())]
    Io {
        /// What was being done: "write to".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another process writes to the spool.
    #[error("{}: another process is writing to this spool", .0.display())]
    Locked(PathBuf),
    /// A batch does not follow the one before it.
    #[error("batch {batch} can't follow batch {last} in the spool {}", path.display())]
    Order {
        /// The batch.
        batch: u64,
        /// The last one that is there.
        last: u64,
        /// The spool's folder.
        path: PathBuf,
    },
    /// What records refer to can't be written as JSON.
    #[error("can't encode what the records of batch {batch} refer to: {source}")]
    Encode {
        /// The batch.
        batch: u64,
        /// Why not.
        source: serde_json::Error,
    },
}

impl SpoolError {
    /// Turns an error of the operating system into one that says what was done to which path.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    /// Whether there is no space left on the device.
    pub fn is_no_space(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull)
    }
}
