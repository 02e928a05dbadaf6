//! `enictl apply`.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use enid_api::v1::{ApplyRequest, ApplyResponse};

use crate::failure::Failure;
use crate::session::Session;

/// Declare VPCs, subnets, security groups and prefix lists
///
/// Adds and updates what the network file declares, and removes nothing. Prints a line for each change.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  enictl apply -f network.toml --dry-run")]
pub(crate) struct Apply {
    /// The network file; `-` is the standard input
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Say what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
}

impl Apply {
    /// Sends the file to the daemon, which checks it.
    pub(crate) fn execute(self, session: &Session) -> Result<ExitCode, Failure> {
        let dry_run = self.dry_run;
        let request = ApplyRequest { source: read(&self.file)?, file_name: name(&self.file), dry_run };
        let response =
            session.talk(async |client| Ok(client.networks().apply(request).await?.into_inner()))?;
        session.format.print(&response, |response| changes(response, dry_run))?;
        Ok(ExitCode::SUCCESS)
    }
}

fn is_standard_input(file: &Path) -> bool {
    file.as_os_str() == "-"
}

fn name(file: &Path) -> String {
    if is_standard_input(file) { "the standard input".to_owned() } else { file.display().to_string() }
}

fn read(file: &Path) -> Result<String, Failure> {
    let text = if is_standard_input(file) {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(file)
    };
    text.map_err(|source| Failure::Read { path: name(file), source })
}

/// A line for each change, or what there is to say instead.
pub(crate) fn changes(response: &ApplyResponse, dry_run: bool) -> String {
    let mut text = String::new();
    for change in &response.changes {
        text += change;
        text.push('\n');
    }
    match (response.changes.is_empty(), dry_run) {
        (true, _) => text += "nothing to change\n",
        (false, true) => text += "dry run: nothing was changed\n",
        (false, false) => {}
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_each_change_and_whether_it_was_made() {
        let none = ApplyResponse { changes: vec![] };
        assert_eq!(changes(&none, false), "nothing to change\n");
        let one = ApplyResponse { changes: vec!["add VPC blue".to_owned()] };
        assert_eq!(changes(&one, false), "add VPC blue\n");
        assert_eq!(changes(&one, true), "add VPC blue\ndry run: nothing was changed\n");
    }
}
