//! `enictl`, the operator's command line of enid.

mod arguments;
mod commands;
mod failure;
mod output;
mod session;
mod text;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    // clap ends the process with 2 on a usage error.
    arguments::Arguments::parse().execute().unwrap_or_else(|failure| failure.report())
}
