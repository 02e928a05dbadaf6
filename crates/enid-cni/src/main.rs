//! `enid-cni`, the CNI plugin: gives the containers of a runtime that speaks CNI an ENI each.
//!
//! A runtime starts it for every verb, with the parameters in its environment and the network's configuration on its standard
//! input, as the CNI specification 1.1.0 and those before it, back to 0.3.0, have it. It keeps nothing: what it made is known
//! from the tags of the daemon's tasks. docs/cni.md says how to use it.

mod add;
mod answer;
mod arguments;
mod attachment;
mod check;
mod configuration;
mod daemon;
mod delete;
mod environment;
mod error;
mod garbage;
mod namespace;
mod plugin;
mod result;
mod runtime_config;
mod settings;
mod status;
mod version;

use std::io::{self, Write as _};
use std::process::ExitCode;

const HELP: &str = "enid-cni is a CNI plugin: a container runtime starts it, with its parameters in the environment and a \
network's configuration on standard input. See docs/cni.md.";

fn main() -> ExitCode {
    // A person, then: runtimes give no arguments.
    if std::env::args_os().len() > 1 {
        let versions = version::SUPPORTED.map(version::CniVersion::as_str).join(", ");
        // Nobody is left to tell if this can't be written.
        let _ = writeln!(
            io::stdout(),
            "{HELP}\n\nenid-cni {}; CNI specifications {versions}",
            env!("CARGO_PKG_VERSION")
        );
        return ExitCode::SUCCESS;
    }
    let answer = plugin::run(|name| std::env::var_os(name), io::stdin());
    let mut output = io::stdout();
    let written = output.write_all(answer.text().as_bytes()).and_then(|()| output.flush());
    if answer.is_success() && written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
