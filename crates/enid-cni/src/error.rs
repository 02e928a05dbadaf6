//! What the plugin answers where it has no result: the specification's error codes, and its own from 100.

use tonic::{Code as GrpcCode, Status};

/// An error code of CNI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    /// The configuration is of a version that is not supported, or that has no such verb.
    IncompatibleVersion = 1,
    /// A field of the configuration is unknown or not supported.
    UnsupportedField = 2,
    /// There is no such container: nothing has to be cleaned up.
    UnknownContainer = 3,
    /// A variable of the environment is missing or wrong.
    InvalidEnvironment = 4,
    /// Standard input could not be read.
    Io = 5,
    /// What is on standard input could not be decoded.
    Decode = 6,
    /// The configuration is wrong.
    InvalidConfiguration = 7,
    /// It may be otherwise soon.
    TryAgainLater = 11,
    /// STATUS: no container could be added now.
    NotAvailable = 50,
    /// STATUS: and containers that were added may not reach each other.
    LimitedConnectivity = 51,
    /// enid's own: a name, a namespace or an address belongs to another task.
    Conflict = 100,
    /// enid's own: the host is not in a state that allows it.
    Precondition = 101,
    /// enid's own: the caller may not use the daemon's socket.
    Denied = 102,
    /// enid's own: the daemon failed.
    DaemonFailed = 103,
    /// enid's own: what listens on the socket is not a daemon that this plugin understands.
    Protocol = 104,
    /// enid's own: CHECK found the container's network to be other than it should be.
    CheckFailed = 105,
    /// enid's own: GC could not delete everything.
    Incomplete = 106,
}

/// Why there is no result: what failed, and why or what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}: {details}")]
pub(crate) struct CniError {
    /// The code.
    pub(crate) code: Code,
    /// What is wrong, in a line.
    pub(crate) message: String,
    /// More about it; may be empty.
    pub(crate) details: String,
}

impl CniError {
    /// An error with what is wrong, and why or what to do.
    pub(crate) fn new(code: Code, message: impl Into<String>, details: impl Into<String>) -> Self {
        Self { code, message: message.into(), details: details.into() }
    }

    /// A field that is there and should not be; the specification wants its key and value in the message.
    pub(crate) fn unsupported(key: &str, value: &serde_json::Value, details: impl Into<String>) -> Self {
        Self::new(
            Code::UnsupportedField,
            format!("unsupported field in the network configuration: {key}={value}"),
            details,
        )
    }

    /// What the daemon answered to a request, `action` being what was asked for.
    pub(crate) fn of_status(action: &str, status: &Status) -> Self {
        Self::new(code_of(status.code()), format!("can't {action}"), status.message())
    }
}

/// The one table from gRPC's codes to CNI's.
pub(crate) const fn code_of(code: GrpcCode) -> Code {
    match code {
        // What the daemon finds wrong in a request came from the configuration, and so did the subnet or group that it does
        // not find.
        GrpcCode::InvalidArgument | GrpcCode::OutOfRange | GrpcCode::NotFound => Code::InvalidConfiguration,
        GrpcCode::AlreadyExists => Code::Conflict,
        GrpcCode::FailedPrecondition => Code::Precondition,
        // A subnet that is full has room again when a container goes; a daemon that is restarted comes back.
        GrpcCode::ResourceExhausted
        | GrpcCode::Unavailable
        | GrpcCode::DeadlineExceeded
        | GrpcCode::Aborted
        | GrpcCode::Cancelled => Code::TryAgainLater,
        GrpcCode::PermissionDenied | GrpcCode::Unauthenticated => Code::Denied,
        GrpcCode::Unimplemented => Code::Protocol,
        GrpcCode::Ok | GrpcCode::Unknown | GrpcCode::Internal | GrpcCode::DataLoss => Code::DaemonFailed,
    }
}
