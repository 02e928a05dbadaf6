//! What the command line can say.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::commands::{
    apply, audit, completions, counters, dial, doctor, events, explain, flow_logs, flows, flush, networks,
    platform_versions, proxy, run, setup_times, tasks, version,
};
use crate::failure::Failure;
use crate::output::Format;
use crate::session::Session;

/// The operator's command line of enid, the ENI daemon.
#[derive(Debug, Parser)]
#[command(
    name = "enictl",
    version,
    after_help = "Example:\n  enictl task create web --subnet default-a\n  enictl run web --class image-pull -- skopeo copy docker://registry/app dir:app\n  enictl flows --task web --since 10m"
)]
pub(crate) struct Arguments {
    /// The daemon's socket
    #[arg(
        long,
        global = true,
        value_name = "PATH",
        env = "ENID_SOCKET",
        default_value = "/run/enid/enid.sock",
        help_heading = "Global options"
    )]
    socket: PathBuf,
    /// How to print what was asked for
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        value_name = "FORMAT",
        default_value_t,
        help_heading = "Global options"
    )]
    output: Format,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Apply(apply::Apply),
    /// VPCs
    #[command(subcommand, after_help = "Example:\n  enictl vpc list")]
    Vpc(networks::VpcCommand),
    /// Subnets
    #[command(subcommand, after_help = "Example:\n  enictl subnet list")]
    Subnet(networks::SubnetCommand),
    /// Security groups
    #[command(subcommand, after_help = "Example:\n  enictl security-group list")]
    SecurityGroup(networks::SecurityGroupCommand),
    /// Prefix lists
    #[command(subcommand, after_help = "Example:\n  enictl prefix-list list")]
    PrefixList(networks::PrefixListCommand),
    /// Tasks and their ENIs
    #[command(subcommand, after_help = "Example:\n  enictl task create web --subnet default-a")]
    Task(tasks::TaskCommand),
    /// Flow logs: which records are delivered, as what, and where
    #[command(
        subcommand,
        after_help = "Example:\n  enictl flow-log create all --vpc shop --destination /var/log/flows"
    )]
    FlowLog(flow_logs::FlowLogCommand),
    /// Platform versions: which may be had, and which ENI carries what
    #[command(subcommand, after_help = "Example:\n  enictl platform-version list")]
    PlatformVersion(platform_versions::PlatformVersionCommand),
    Run(run::Run),
    Events(events::Events),
    Dial(dial::Dial),
    Proxy(proxy::Proxy),
    Explain(explain::Explain),
    Flows(flows::Flows),
    Counters(counters::Counters),
    Audit(audit::Audit),
    Flush(flush::Flush),
    Doctor(doctor::Doctor),
    SetupTimes(setup_times::SetupTimes),
    Completions(completions::Completions),
    Version(version::Version),
}

impl Arguments {
    /// Does what was asked.
    pub(crate) fn execute(self) -> Result<ExitCode, Failure> {
        let session = Session { socket: self.socket, format: self.output };
        // Said before anything is done, not when the answer is to be printed.
        if session.format == Format::Csv && !matches!(self.command, Command::Flows(_)) {
            return Err(Format::no_csv());
        }
        match self.command {
            Command::Apply(command) => command.execute(&session),
            Command::Vpc(command) => command.execute(&session),
            Command::Subnet(command) => command.execute(&session),
            Command::SecurityGroup(command) => command.execute(&session),
            Command::PrefixList(command) => command.execute(&session),
            Command::Task(command) => command.execute(&session),
            Command::FlowLog(command) => command.execute(&session),
            Command::PlatformVersion(command) => command.execute(&session),
            Command::Run(command) => command.execute(&session),
            Command::Events(command) => command.execute(&session),
            Command::Dial(command) => command.execute(&session),
            Command::Proxy(command) => command.execute(&session),
            Command::Explain(command) => command.execute(&session),
            Command::Flows(command) => command.execute(&session),
            Command::Counters(command) => command.execute(&session),
            Command::Audit(command) => command.execute(&session),
            Command::Flush(flush::Flush {}) => flush::Flush::execute(&session),
            Command::Doctor(doctor::Doctor {}) => doctor::Doctor::execute(&session),
            Command::SetupTimes(setup_times::SetupTimes {}) => setup_times::SetupTimes::execute(&session),
            Command::Completions(command) => command.execute(),
            Command::Version(version::Version {}) => version::Version::execute(&session),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_command_has_an_example() {
        fn check(command: &clap::Command) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Example:\n  enictl "), "{}", command.get_name());
            assert!(command.get_about().is_some(), "{}", command.get_name());
            command.get_subcommands().for_each(check);
        }
        check(&Arguments::command());
    }
}
