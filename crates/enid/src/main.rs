//! `enid`: the daemon's program.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use enid::{Config, Daemon, Directories, purge};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// The ENI daemon: one elastic network interface for every task of this host.
#[derive(Debug, Parser)]
#[command(name = "enid", version, after_help = "Example: enid serve --config /etc/enid/enid.toml")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves tasks until it is told to stop. Tasks and their traffic go on without it.
    Serve(Common),
    /// Takes everything that enid made off this host: tasks, routers, pinned maps, rules, the run directory.
    /// Declared networks and flow records stay. The daemon must not be running.
    Purge(Common),
}

#[derive(Debug, clap::Args)]
struct Common {
    /// The configuration; /etc/enid/enid.toml if that is there, else built-in defaults.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// What only matters while the host is up: socket, tasks, ENIs. A tmpfs.
    #[arg(long, value_name = "DIR", default_value = "/run/enid")]
    run_dir: PathBuf,
    /// What survives a reboot: declared networks, flow records.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/enid")]
    state_dir: PathBuf,
}

const DEFAULT_CONFIG: &str = "/etc/enid/enid.toml";

impl Common {
    fn config(&self) -> anyhow::Result<Config> {
        match &self.config {
            Some(path) => Ok(Config::read(path)?),
            None if std::path::Path::new(DEFAULT_CONFIG).exists() => {
                Ok(Config::read(DEFAULT_CONFIG.as_ref())?)
            }
            None => Ok(Config::default()),
        }
    }

    fn directories(&self) -> Directories {
        Directories { run: self.run_dir.clone(), state: self.state_dir.clone() }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_env("ENID_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours).init();
    let done = match &arguments.command {
        Command::Serve(common) => serve(common),
        Command::Purge(common) => purge_all(common),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            // One sentence: it has its causes in it.
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(common: &Common) -> anyhow::Result<ExitCode> {
    let (config, directories) = (common.config()?, common.directories());
    raise_descriptor_limit();
    // Few at once: creates and deletes are let in a few at a time, and what else blocks is short.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(16)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let daemon = Daemon::start(&config, &directories).await?;
        tracing::info!(socket = %directories.socket().display(), "serving");
        daemon
            .serve(async {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                tracing::info!("stopping; tasks and their traffic go on");
            })
            .await?;
        Ok(ExitCode::SUCCESS)
    })
}

/// Lets the daemon have as many descriptors as it may: what is kept ready for tasks to come is held by them.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(%error, "the limit of open descriptors stays as it is");
    }
}

fn purge_all(common: &Common) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(rustix::process::geteuid().is_root(), "enid purge needs to be root");
    let errors = purge(&common.config()?, &common.directories());
    for error in &errors {
        tracing::error!("{error}");
    }
    Ok(if errors.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
