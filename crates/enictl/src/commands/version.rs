//! `enictl version`.

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use crate::failure::Failure;
use crate::session::Session;

/// Print the version of enictl; `enictl doctor` has the daemon's
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  enictl version -o json")]
pub(crate) struct Version {}

#[derive(Serialize)]
struct Answer {
    version: &'static str,
}

impl Version {
    /// Needs no daemon.
    pub(crate) fn execute(session: &Session) -> Result<ExitCode, Failure> {
        let answer = Answer { version: env!("CARGO_PKG_VERSION") };
        session.format.print(&answer, |answer| format!("enictl {}\n", answer.version))?;
        Ok(ExitCode::SUCCESS)
    }
}
