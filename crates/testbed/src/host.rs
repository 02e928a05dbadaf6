//! A host: a daemon in a network namespace that it takes for the machine's, with directories of its own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a step that fails panics, since a test wants to know where it failed"
)]

mod directory;
mod requests;
mod running;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use enid::{Config, Directories, EnidError, ForwardingMode};
use enid_netns::Namespace;
use tokio::runtime::Runtime;

use crate::DEADLINE;
use crate::namespace::{self, inside};
use directory::HostDirectory;
pub use requests::new_task;
use running::Running;
pub use running::program;

/// How the daemon runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DaemonKind {
    /// In a thread of this process.
    #[default]
    Thread,
    /// As a process of its own, from the program `enid` that was built with the tests: one that can be killed.
    Process,
}

/// What a host is like. The default suits most tests: small tables, so that many hosts fit in memory, and an
/// aggregation interval that ends when a test says so.
#[derive(Debug, Clone)]
pub struct HostOptions {
    /// How the daemon runs.
    pub daemon: DaemonKind,
    /// The aggregation interval.
    pub interval_seconds: u64,
    /// The most that the spool may take on disk.
    pub spool_bytes: u64,
    /// The most flow entries.
    pub flow_capacity: u32,
    /// The most refused flows that are told apart.
    pub refusal_capacity: u32,
    /// The most flow entries of an ENI; the daemon's default where absent.
    pub flows_per_eni: Option<u32>,
    /// Who forwards packets between ENIs of the host.
    pub forwarding: ForwardingMode,
    /// The most ENIs; a power of two.
    pub eni_capacity: u32,
    /// How many slots are kept ready for each VPC in use.
    pub prepared_slots: u32,
    /// The most that TCP hands on in one buffer; the daemon's choice where absent.
    pub gso_max_size: Option<u32>,
    /// A file of services' prefixes.
    pub ip_ranges: Option<PathBuf>,
    /// The size of the file system that holds the run directory; where absent it is not of its own.
    pub run_bytes: Option<u64>,
    /// The same of the state directory.
    pub state_bytes: Option<u64>,
    /// Variables that a daemon which is a process has in its environment, beyond those of the test.
    pub environment: Vec<(String, String)>,
}

impl Default for HostOptions {
    /// Forwarding is `auto`, unless the environment variable `ENID_TEST_FORWARDING` says `direct` or `kernel`: so all tests
    /// can be run either way.
    fn default() -> Self {
        Self {
            daemon: DaemonKind::Thread,
            interval_seconds: 600,
            spool_bytes: 1 << 30,
            flow_capacity: 4096,
            refusal_capacity: 4096,
            flows_per_eni: None,
            forwarding: forwarding_of(std::env::var("ENID_TEST_FORWARDING").as_deref().unwrap_or("auto")),
            eni_capacity: 256,
            prepared_slots: 0,
            gso_max_size: None,
            ip_ranges: None,
            run_bytes: None,
            state_bytes: None,
            environment: Vec::new(),
        }
    }
}

fn forwarding_of(mode: &str) -> ForwardingMode {
    match mode {
        "auto" => ForwardingMode::Auto,
        "direct" => ForwardingMode::Direct,
        "kernel" => ForwardingMode::Kernel,
        _ => panic!("ENID_TEST_FORWARDING is `{mode}`: expected `auto`, `direct` or `kernel`"),
    }
}

impl HostOptions {
    fn config(&self, directory: &HostDirectory) -> String {
        let flows_per_eni = self.flows_per_eni.map(|limit| format!("flows_per_eni = {limit}\n"));
        let forwarding = match self.forwarding {
            ForwardingMode::Auto => "auto",
            ForwardingMode::Direct => "direct",
            ForwardingMode::Kernel => "kernel",
        };
        let ip_ranges = self.ip_ranges.as_ref();
        let ip_ranges = ip_ranges.map(|path| format!("[services]\nip_ranges = '{}'\n", path.display()));
        let gso_max_size = self.gso_max_size.map(|bytes| format!("gso_max_size = {bytes}\n"));
        format!(
            "[flow_log]\naggregation_interval_seconds = {}\n[spool]\nmax_bytes = {}\n[flow_table]\ncapacity = {}\nrefusal_capacity = {}\n{}\
             [forwarding]\nmode = '{forwarding}'\n[eni]\ncapacity = {}\nprepared_slots = {}\n{}\
             {}[paths]\nnetns = '{}'\nbpf = '{}'\ncgroup = '{}'\n",
            self.interval_seconds,
            self.spool_bytes,
            self.flow_capacity,
            self.refusal_capacity,
            flows_per_eni.unwrap_or_default(),
            self.eni_capacity,
            self.prepared_slots,
            gso_max_size.unwrap_or_default(),
            ip_ranges.unwrap_or_default(),
            directory.netns().display(),
            directory.bpf().display(),
            directory.cgroup().display(),
        )
    }
}

/// A host with its daemon. When it is dropped, everything that was made for it goes, whatever state it is in; something
/// of enid's that a purge leaves behind fails the test.
#[derive(Debug)]
pub struct Host {
    kind: DaemonKind,
    environment: Vec<(String, String)>,
    config: PathBuf,
    directories: Directories,
    running: Option<Running>,
    /// For requests.
    runtime: Runtime,
    namespace: Namespace,
    directory: HostDirectory,
}

impl Host {
    /// Makes a host and starts its daemon.
    #[track_caller]
    pub fn start(options: &HostOptions) -> Self {
        let mut host = Self::make(options);
        host.start_daemon();
        host
    }

    /// Makes a host whose daemon is not started.
    #[track_caller]
    pub fn make(options: &HostOptions) -> Self {
        let directory = HostDirectory::create(options.run_bytes, options.state_bytes);
        let config = directory.path().join("enid.toml");
        fs::write(&config, options.config(&directory)).expect("write enid.toml");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        Self {
            kind: options.daemon,
            environment: options.environment.clone(),
            config,
            directories: Directories { run: directory.run(), state: directory.state() },
            running: None,
            runtime: runtime.expect("start a runtime"),
            namespace: namespace::create(&directory.path().join("host")),
            directory,
        }
    }

    /// Starts the daemon, which must be up within the deadline.
    #[track_caller]
    pub fn start_daemon(&mut self) {
        self.try_start_daemon().unwrap_or_else(|error| panic!("the daemon did not start: {error}"));
    }

    /// Starts the daemon.
    ///
    /// # Errors
    /// What it said of why it did not start.
    pub fn try_start_daemon(&mut self) -> Result<(), String> {
        assert!(self.running.is_none(), "the daemon runs already");
        self.running = Some(match self.kind {
            DaemonKind::Thread => Running::thread(&self.namespace, &self.config, &self.directories)?,
            DaemonKind::Process => {
                let (config, directories) = (&self.config, &self.directories);
                Running::process(&self.namespace, config, directories, &self.log(), &self.environment)?
            }
        });
        Ok(())
    }

    /// Stops the daemon as a service manager does, and waits until it is gone.
    #[track_caller]
    pub fn stop_daemon(&mut self) {
        let running = self.running.take().expect("the daemon runs");
        running.stop(DEADLINE).unwrap_or_else(|error| panic!("the daemon did not stop: {error}"));
    }

    /// Adds tables to the configuration of daemons that start from now on. One that it has already can't be added to.
    pub fn configure(&self, tables: &str) {
        let text = fs::read_to_string(&self.config).expect("read the configuration");
        fs::write(&self.config, text + tables).expect("write the configuration");
    }

    /// Sets what is in no table, for daemons that start from now on.
    pub fn configure_first(&self, lines: &str) {
        let text = fs::read_to_string(&self.config).expect("read the configuration");
        fs::write(&self.config, format!("{lines}{text}")).expect("write the configuration");
    }

    /// Stops the daemon and starts it again.
    #[track_caller]
    pub fn restart_daemon(&mut self) {
        self.stop_daemon();
        self.start_daemon();
    }

    /// Kills the daemon, which must be a process: no line of its code runs any more.
    #[track_caller]
    pub fn kill_daemon(&mut self) {
        self.running.take().expect("the daemon runs").kill();
    }

    /// The process of a daemon that is one, to be killed while requests are under way. [`Self::kill_daemon`] has to follow.
    pub fn daemon_process(&self) -> rustix::process::Pid {
        self.running.as_ref().expect("the daemon runs").process_id()
    }

    /// Takes everything of enid's off the host, as `enid purge` does. The daemon must not be running.
    pub fn purge(&self) -> Vec<EnidError> {
        assert!(self.running.is_none(), "the daemon runs");
        let config = Config::read(&self.config).expect("read enid.toml");
        inside(&self.namespace, || enid::purge(&config, &self.directories))
    }

    /// What there is on this host of enid's, beyond its state: named namespaces, pinned objects, cgroups, files of the
    /// run directory.
    pub fn leftovers(&self) -> Vec<PathBuf> {
        let directory = &self.directory;
        let folders = [directory.netns(), directory.bpf(), directory.cgroup().to_owned(), directory.run()];
        folders.iter().flat_map(|folder| directory::below(folder)).collect()
    }

    /// Where the host's own namespace is bound.
    pub fn namespace_path(&self) -> PathBuf {
        self.directory.path().join("host")
    }

    /// The host's own namespace: the daemon's.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// A folder for the test's own files and namespaces, which goes with the host.
    pub fn folder(&self) -> &Path {
        self.directory.path()
    }

    /// Where the daemon keeps what only matters while the host is up.
    pub fn run_directory(&self) -> &Path {
        &self.directories.run
    }

    /// Where the daemon keeps what survives a reboot.
    pub fn state_directory(&self) -> &Path {
        &self.directories.state
    }

    /// Where namespaces that the daemon makes are named.
    pub fn netns_directory(&self) -> PathBuf {
        self.directory.netns()
    }

    /// Where the cgroups of classed commands are.
    pub fn cgroup_directory(&self) -> &Path {
        self.directory.cgroup()
    }

    /// The socket that the daemon serves.
    pub fn socket(&self) -> PathBuf {
        self.directories.socket()
    }

    /// The socket that connections are dialed by.
    pub fn dial_socket(&self) -> PathBuf {
        self.directories.dial_socket()
    }

    /// Waits for what is to be done at once.
    #[track_caller]
    pub fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        let done = self.runtime.block_on(async { tokio::time::timeout(DEADLINE, work).await });
        done.unwrap_or_else(|_| panic!("not done after {} s", DEADLINE.as_secs()))
    }

    /// What a daemon that is a process has logged.
    pub fn log(&self) -> PathBuf {
        self.directory.path().join("enid.log")
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let mut problems = Vec::new();
        if let Some(running) = self.running.take() {
            problems.extend(running.stop(DEADLINE).err());
        }
        problems.extend(self.purge().iter().map(ToString::to_string));
        problems.extend(self.leftovers().iter().map(|path| format!("left behind: {}", path.display())));
        self.directory.remove();
        // A test that failed has said why.
        if !thread::panicking() {
            assert!(problems.is_empty(), "{}", problems.join("; "));
        }
    }
}
