//! `enictl completions`.

use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::arguments::Arguments;
use crate::failure::Failure;
use crate::output::write;

/// Print a shell's completion script
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  enictl completions bash > /etc/bash_completion.d/enictl")]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    /// Needs no daemon.
    pub(crate) fn execute(self) -> Result<ExitCode, Failure> {
        // Into memory first: clap_complete panics where the output can't be written.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), "enictl", &mut script);
        write(&String::from_utf8_lossy(&script))?;
        Ok(ExitCode::SUCCESS)
    }
}
