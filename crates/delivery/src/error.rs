//! What can go wrong with a destination.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// A failure of a destination: which one, what failed, and why.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// The collector's name has no address.
    #[error("{destination}: `{host}` does not resolve: {source}")]
    Resolve {
        /// The destination, as users write it.
        destination: String,
        /// The name.
        host: String,
        /// What the resolver says.
        source: io::Error,
    },
    /// The collector can't be reached.
    #[error("{destination}: can't connect: {source}")]
    Connect {
        /// The destination, as users write it.
        destination: String,
        /// What the kernel says.
        source: io::Error,
    },
    /// The collector stopped taking what it is sent.
    #[error("{destination}: can't send: {source}")]
    Send {
        /// The destination, as users write it.
        destination: String,
        /// What the kernel says.
        source: io::Error,
    },
    /// The collector closed the connection before all was taken.
    #[error("{destination}: the collector closed the connection")]
    Closed {
        /// The destination, as users write it.
        destination: String,
    },
    /// Something took longer than it may.
    #[error("{destination}: {action} took longer than {} s", limit.as_secs())]
    TimedOut {
        /// The destination, as users write it.
        destination: String,
        /// What took so long: "to connect".
        action: &'static str,
        /// What it may take.
        limit: Duration,
    },
    /// No HTTP answer was had.
    #[error("{destination}: {}", with_causes(source))]
    Http {
        /// The destination, as users write it.
        destination: String,
        /// What the HTTP client says.
        source: reqwest::Error,
    },
    /// The collector answered, and not with yes.
    #[error("{destination}: the collector answers {status}{}{message}", if message.is_empty() { "" } else { ": " })]
    Status {
        /// The destination, as users write it.
        destination: String,
        /// The HTTP status.
        status: u16,
        /// The beginning of what the answer says.
        message: String,
        /// How long the collector wants to be left alone (Retry-After, in seconds).
        retry_after: Option<Duration>,
    },
    /// The collector took the parcel but for some records, which it does not want again.
    #[error("{destination}: the collector rejected {records} records: {message}")]
    Rejected {
        /// The destination, as users write it.
        destination: String,
        /// How many records of the parcel it has not taken.
        records: u64,
        /// Why, in its words.
        message: String,
    },
    /// A directory can't be made or written.
    #[error("can't {action} {}: {source}", path.display())]
    Directory {
        /// What was tried: "make the directory".
        action: &'static str,
        /// The path.
        path: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
}

impl DeliveryError {
    /// Whether the same may be taken another time. If not, it is the records that are wrong for this collector.
    pub const fn is_worth_repeating(&self) -> bool {
        match self {
            // What a client did wrong, whoever asks: malformed, too large, of an unknown type. The others of 400 to 499
            // (unauthorised, not found, too many) are over once somebody sets the collector right.
            Self::Status { status, .. } => !matches!(status, 400 | 413 | 415 | 422),
            Self::Rejected { .. } => false,
            _ => true,
        }
    }

    /// How many records of the parcel are refused for good, where the others are delivered.
    pub const fn rejected(&self) -> u64 {
        match self {
            Self::Rejected { records, .. } => *records,
            _ => 0,
        }
    }

    /// How long the destination asked to be left alone.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// An error with all that caused it: an HTTP client's own words leave out why.
fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16) -> DeliveryError {
        DeliveryError::Status {
            destination: "otlp+http://c:4318".into(),
            status,
            message: String::new(),
            retry_after: None,
        }
    }

    #[test]
    fn only_what_is_wrong_with_the_records_is_not_worth_repeating() {
        for code in [401, 403, 404, 408, 429, 500, 502, 503, 504] {
            assert!(status(code).is_worth_repeating(), "{code}");
        }
        for code in [400, 413, 415, 422] {
            assert!(!status(code).is_worth_repeating(), "{code}");
            assert_eq!(status(code).rejected(), 0);
        }
        let rejected =
            DeliveryError::Rejected { destination: String::new(), records: 3, message: String::new() };
        assert!(!rejected.is_worth_repeating());
        assert_eq!(rejected.rejected(), 3);
        let closed = DeliveryError::Closed { destination: String::new() };
        assert!(closed.is_worth_repeating());
    }

    #[test]
    fn a_status_is_shown_with_what_is_said() {
        assert_eq!(status(503).to_string(), "otlp+http://c:4318: the collector answers 503");
        let DeliveryError::Status { destination, status, .. } = status(400) else { panic!("is a status") };
        let error =
            DeliveryError::Status { destination, status, message: "no body".into(), retry_after: None };
        assert_eq!(error.to_string(), "otlp+http://c:4318: the collector answers 400: no body");
    }
}
