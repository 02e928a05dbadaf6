//! What can fail around namespaces.

use std::io;
use std::path::{Path, PathBuf};

use crate::NetlinkError;

/// The action of opening a namespace.
pub(crate) const OPEN: &str = "open the network namespace";

/// A failure with a namespace or what is in it.
#[derive(Debug, thiserror::Error)]
pub enum NetnsError {
    /// A system call on a file failed.
    #[error("can't {action} {path}: {source}")]
    File {
        /// What was to be done: "bind the namespace to".
        action: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A system call without a file failed.
    #[error("can't {action}: {source}")]
    System {
        /// What was to be done.
        action: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The path is not a network namespace.
    #[error("{0} is not a network namespace")]
    NotANamespace(PathBuf),
    /// A netlink request was refused.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// A question over rtnetlink failed.
    #[error("can't {action}: {source}")]
    Inventory {
        /// What was asked.
        action: &'static str,
        /// What rtnetlink said.
        source: rtnetlink::Error,
    },
}

impl NetnsError {
    /// For `map_err` on a system call that names a file.
    pub(crate) fn file<E: Into<io::Error>>(action: &'static str, path: &Path) -> impl FnOnce(E) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source: source.into() }
    }

    /// For `map_err` on a system call without a file.
    pub(crate) fn system<E: Into<io::Error>>(action: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::System { action, source: source.into() }
    }

    /// Whether a namespace that was named is not there.
    pub fn is_no_such_namespace(&self) -> bool {
        matches!(self, Self::File { action, source, .. }
            if *action == OPEN && source.kind() == io::ErrorKind::NotFound)
    }

    /// Whether the failure is the kernel saying "no space left": a full disk, or a full tmpfs.
    pub fn is_no_space(&self) -> bool {
        matches!(self, Self::File { source, .. } if source.kind() == io::ErrorKind::StorageFull)
    }
}
