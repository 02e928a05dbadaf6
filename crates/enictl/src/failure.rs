//! Why a command did not do what it was asked, in one sentence.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use enid_api::ConnectError;
use enid_api::dial::DialError;
use enid_flowlog::FlowLogError;
use enid_spool::SpoolError;
use tonic::{Code, Status};

/// Why a command ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The arguments don't go together.
    #[error("{0}; `--help` says more")]
    Usage(String),
    /// No connection to the daemon.
    #[error("{0}")]
    Connect(#[from] ConnectError),
    /// The daemon refused, the connection to it broke, or what it sent can't be read; the sentence says which.
    #[error("{0}")]
    Daemon(String),
    /// The daemon has no such object.
    #[error("{0}")]
    NotFound(String),
    /// Some of the objects of one command could not be deleted; a sentence each.
    #[error("{}", .0.join("\nenictl: "))]
    Several(Vec<String>),
    /// A file could not be read.
    #[error("{path} can't be read: {source}")]
    Read {
        /// The file, or `the standard input`.
        path: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// A path that the daemon is to be told about.
    #[error("{path:?} can't be named to the daemon: {reason}")]
    Path {
        /// The path as given.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The record files could not be read.
    #[error("{0}")]
    Records(#[from] FlowLogError),
    /// The spool can't be read.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The standard output could not be written.
    #[error("the standard output can't be written: {0}")]
    Output(#[from] io::Error),
    /// A message could not be printed in the format asked for.
    #[error("the answer can't be written as {format}: {reason}")]
    Encode {
        /// JSON or YAML.
        format: &'static str,
        /// What the encoder said.
        reason: String,
    },
    /// The runtime that talks to the daemon could not be started.
    #[error("the connection's runtime can't be started: {0}")]
    Runtime(io::Error),
    /// No connection through a task's ENI.
    #[error("{0}")]
    Dial(#[from] DialError),
    /// A command could not be started.
    #[error("can't start {program}: {source}")]
    Start {
        /// The command's name.
        program: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// A step of becoming a command inside a task.
    #[error(transparent)]
    Enter(#[from] crate::commands::run::EnterError),
}

impl Failure {
    /// Prints the sentence, and says how the process ends.
    pub(crate) fn report(&self) -> ExitCode {
        if let Self::Output(error) = self
            && error.kind() == io::ErrorKind::BrokenPipe
        {
            // Who read the output has read enough: `enictl flows | head`.
            return ExitCode::SUCCESS;
        }
        eprintln!("enictl: {self}");
        match self {
            Self::Enter(error) => error.exit_code(),
            // As a shell has it.
            Self::Start { source, .. } => {
                ExitCode::from(if source.kind() == io::ErrorKind::NotFound { 127 } else { 126 })
            }
            // As clap ends the process.
            Self::Usage(_) => ExitCode::from(2),
            _ => ExitCode::FAILURE,
        }
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::Daemon(sentence(&status))
    }
}

/// The status as a person should read it: the daemon's own sentence, or what became of the connection.
pub(crate) fn sentence(status: &Status) -> String {
    // A status that the daemon sent has no source; one that the client made for a broken connection has.
    if let Some(source) = status.source() {
        return format!("the connection to the daemon broke: {}", innermost(source));
    }
    match (status.code(), status.message()) {
        (Code::Unimplemented, _) => {
            "the daemon does not know this request: it is of another version than this enictl".to_owned()
        }
        (Code::Unavailable, "") => "the daemon is not available: is it stopping?".to_owned(),
        (code, "") => format!("the daemon refused without a reason: {code}"),
        (_, message) => message.to_owned(),
    }
}

/// The first cause: the outer layers say only that something failed below them.
fn innermost<'a>(mut error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    while let Some(source) = error.source() {
        error = source;
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_its_message_alone() {
        let status = Status::not_found("there is no task `web`");
        assert_eq!(sentence(&status), "there is no task `web`");
        assert_eq!(
            sentence(&Status::new(Code::Internal, "")),
            format!("the daemon refused without a reason: {}", Code::Internal)
        );
    }

    #[test]
    fn a_broken_connection_says_so() {
        let status = Status::from_error(Box::new(io::Error::from(io::ErrorKind::ConnectionReset)));
        assert_eq!(sentence(&status), "the connection to the daemon broke: connection reset");
    }

    #[test]
    fn a_reader_that_left_is_no_failure() {
        let failure = Failure::Output(io::ErrorKind::BrokenPipe.into());
        assert_eq!(format!("{:?}", failure.report()), format!("{:?}", ExitCode::SUCCESS));
    }
}
