//! Why there is no connection.

use std::io;
use std::path::PathBuf;

use super::wire::{ErrorCode, Refusal};

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// Nobody listens on the dial socket.
    #[error("no daemon listens on {path}: {source}; is `enid serve` running, with this run directory?")]
    NobodyListens {
        /// The socket's path.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The caller may not open the dial socket.
    #[error(
        "{path} may not be opened by this user: {source}; run as root or as a member of the socket's group"
    )]
    Refused {
        /// The socket's path.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The daemon has no connection to give.
    #[error("{}", .0.message)]
    Daemon(Refusal),
    /// The connection to the daemon broke.
    #[error("the connection to the daemon broke: {0}")]
    Broken(#[source] io::Error),
    /// The daemon's answer can't be understood.
    #[error("the daemon's answer can't be understood: {0}; is it of another version?")]
    Answer(String),
    /// The socket can't be used in this program.
    #[error("the socket that the daemon gave can't be used: {0}")]
    Socket(#[source] io::Error),
    /// What a URI names is no host and port.
    #[error("`{0}` names no host to connect to")]
    Uri(String),
}

impl DialError {
    /// The daemon's code, if it was the daemon that refused.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Daemon(refusal) => Some(refusal.code),
            _ => None,
        }
    }
}

impl From<DialError> for io::Error {
    /// With the kind that a connection made by the caller would fail with.
    fn from(error: DialError) -> Self {
        let kind = match error.code() {
            Some(ErrorCode::Refused) => io::ErrorKind::ConnectionRefused,
            Some(ErrorCode::TimedOut) => io::ErrorKind::TimedOut,
            Some(ErrorCode::Unreachable) => io::ErrorKind::HostUnreachable,
            Some(ErrorCode::SecurityGroup | ErrorCode::NotPermitted) => io::ErrorKind::PermissionDenied,
            Some(ErrorCode::NameNotResolved | ErrorCode::NoSuchTask) => io::ErrorKind::NotFound,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}
