//! The daemon, as a child of the benchmark, and its clients.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use enid_api::Client;
use enid_api::v1::{
    ApplyRequest, CreateFlowLogRequest, CreateTaskRequest, DeleteFlowLogRequest, DeleteTaskRequest,
    FlushRequest, ListNetworksRequest, OpenProxyRequest, Task, Vpc,
};
use enid_testbed::floor;
use rustix::process::{Pid, Signal, kill_process};
use tokio::runtime::{Builder, Runtime};

use crate::host::new_host;
use crate::subject::Kind;
use crate::traffic::End;

/// A running daemon, in a host namespace of its own.
pub(crate) struct Daemon {
    host: OwnedFd,
    process: Child,
    socket: PathBuf,
}

impl Daemon {
    /// Starts `program` with the configuration `enid.toml` of the working folder, `more` added to it and `name` to its
    /// paths, so that there can be several: `scripts/bench-host` takes away what a daemon of that name leaves. The
    /// calling thread must outlive the daemon and is in its host's namespace afterwards.
    pub(crate) fn start(program: &Path, work: &Path, name: &str, more: &str) -> Result<Self> {
        let configuration = work.join(format!("daemon-{name}.toml"));
        let mut text = fs::read_to_string(work.join("enid.toml"))?;
        text = text.replace("/netns\"", &format!("/netns/{name}\""));
        text = text.replace("/bpf/enid\"", &format!("/bpf/enid/{name}\""));
        fs::write(&configuration, text + more)?;
        let host = new_host()?;
        floor::enter_namespace(&host)?;
        let log = work.join(format!("{name}.log"));
        let run = work.join("run").join(name);
        let process = Command::new("setpriv")
            // However the benchmark ends, so does the daemon.
            .args(["--pdeathsig", "TERM"])
            .arg(program)
            .arg("serve")
            .arg("--config")
            .arg(configuration)
            .arg("--run-dir")
            .arg(&run)
            .arg("--state-dir")
            .arg(work.join("state").join(name))
            .stdout(File::create(&log)?)
            .stderr(File::options().append(true).open(&log)?)
            .spawn()
            .context("start enid serve")?;
        let mut daemon = Self { host, process, socket: run.join("enid.sock") };
        let start = Instant::now();
        loop {
            match daemon.networks() {
                Ok(_) => return Ok(daemon),
                Err(_)
                    if daemon.process.try_wait()?.is_none() && start.elapsed() < Duration::from_secs(20) =>
                {
                    thread::sleep(Duration::from_millis(20));
                }
                Err(error) => bail!("enid serve does not answer: {error:#}\n{}", fs::read_to_string(&log)?),
            }
        }
    }

    /// Where it serves.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// The namespace that it takes for the machine's.
    pub(crate) fn host(&self) -> &OwnedFd {
        &self.host
    }

    /// The daemon's resident memory, in bytes.
    pub(crate) fn resident(&self) -> Result<u64> {
        self.memory("VmRSS")
    }

    /// A line of its memory in /proc/PID/status, in bytes: proc_pid_status(5).
    pub(crate) fn memory(&self, name: &str) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let kibibytes: u64 = status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':')?.trim().strip_suffix(" kB"))
            .with_context(|| format!("/proc/PID/status has no {name}"))?
            .parse()?;
        Ok(kibibytes * 1024)
    }

    /// The time that its threads have had of all CPUs, those that have ended among them: in seconds, to 10 ms.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        // Of sysconf(_SC_CLK_TCK), which is that on every architecture that this is built for.
        const TICKS_A_SECOND: f64 = 100.0;
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        // After the name, which may have spaces; of user and system, the 14th and 15th: proc_pid_stat(5).
        let (_, fields) = stat.rsplit_once(')').context("/proc/PID/stat")?;
        let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u32>);
        Ok(f64::from(ticks.sum::<Result<u32, _>>()?) / TICKS_A_SECOND)
    }

    /// How long the eBPF programs that it has open have run, in seconds, as far as the kernel counts that: proc_pid_fdinfo(5).
    pub(crate) fn program_seconds(&self) -> Result<f64> {
        let mut times = std::collections::BTreeMap::new();
        for file in fs::read_dir(format!("/proc/{}/fdinfo", self.process.id()))? {
            let Ok(text) = fs::read_to_string(file?.path()) else { continue };
            let number = |name: &str| {
                text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok())
            };
            if let (Some(program), Some(time)) = (number("prog_id:"), number("run_time_ns:")) {
                times.insert(program, time);
            }
        }
        Ok(Duration::from_nanos(times.values().sum()).as_secs_f64())
    }

    /// The eBPF maps that it has open: proc_pid_fdinfo(5).
    pub(crate) fn maps(&self) -> Result<Vec<OpenMap>> {
        let mut maps = Vec::new();
        for file in fs::read_dir(format!("/proc/{}/fdinfo", self.process.id()))? {
            // One that was closed meanwhile is none of the maps.
            let Ok(text) = fs::read_to_string(file?.path()) else { continue };
            let number =
                |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
            if let (Some(key_size), Some(memory)) = (number("key_size:"), number("memlock:")) {
                maps.push(OpenMap { key_size: u32::try_from(key_size)?, memory });
            }
        }
        Ok(maps)
    }

    /// Every VPC that it has.
    pub(crate) fn networks(&self) -> Result<Vec<Vpc>> {
        self.session()?.networks()
    }

    /// Connects to it.
    pub(crate) fn session(&self) -> Result<Session> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let client = runtime.block_on(Client::connect(&self.socket))?;
        Ok(Session { runtime, client })
    }
}

/// An eBPF map.
#[derive(Clone, Copy)]
pub(crate) struct OpenMap {
    /// Bytes of a key.
    pub(crate) key_size: u32,
    /// The kernel memory that it takes, in bytes.
    pub(crate) memory: u64,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // A daemon that is gone already is what is wanted.
        let _ = kill_process(Pid::from_child(&self.process), Signal::TERM);
        let _ = self.process.wait();
    }
}

/// A client with a connection of its own, driven by the thread that waits for the answer.
pub(crate) struct Session {
    runtime: Runtime,
    client: Client,
}

impl Session {
    /// Every VPC.
    pub(crate) fn networks(&self) -> Result<Vec<Vpc>> {
        Ok(self.runtime.block_on(self.client.networks().list(ListNetworksRequest {}))?.into_inner().vpcs)
    }

    /// Declares what a network file says.
    pub(crate) fn apply(&self, source: &str) -> Result<()> {
        let request =
            ApplyRequest { source: source.to_owned(), file_name: "bench.toml".to_owned(), dry_run: false };
        self.runtime.block_on(self.client.networks().apply(request)).context("declare a network")?;
        Ok(())
    }

    /// Creates a task.
    pub(crate) fn create(&self, request: CreateTaskRequest) -> Result<Task> {
        let name = request.name.clone();
        let answer = self.runtime.block_on(self.client.tasks().create(request));
        Ok(answer.with_context(|| format!("create the task {name}"))?.into_inner())
    }

    /// Deletes a task.
    pub(crate) fn delete(&self, name: String) -> Result<()> {
        self.runtime.block_on(
            self.client.tasks().delete(DeleteTaskRequest { name, ..DeleteTaskRequest::default() }),
        )?;
        Ok(())
    }

    /// Opens a proxy; its URL.
    pub(crate) fn open_proxy(&self, request: OpenProxyRequest) -> Result<String> {
        let answer = self.runtime.block_on(self.client.tasks().open_proxy(request));
        Ok(answer.context("open a proxy")?.into_inner().url)
    }

    /// Creates a flow log.
    pub(crate) fn create_flow_log(&self, request: CreateFlowLogRequest) -> Result<()> {
        self.runtime.block_on(self.client.flow_logs().create(request)).context("create a flow log")?;
        Ok(())
    }

    /// Deletes a flow log.
    pub(crate) fn delete_flow_log(&self, name: &str) -> Result<()> {
        let request = DeleteFlowLogRequest { flow_log: name.to_owned() };
        self.runtime.block_on(self.client.flow_logs().delete(request)).context("delete a flow log")?;
        Ok(())
    }

    /// Closes the aggregation interval. Returns how many records it had.
    pub(crate) fn flush(&self) -> Result<u64> {
        Ok(self.runtime.block_on(self.client.flows().flush(FlushRequest {}))?.into_inner().records)
    }
}

/// The end that is a task.
pub(crate) fn task_end(task: &Task, kind: Kind) -> Result<End> {
    let eni = task.eni.iter();
    let texts = eni.flat_map(|eni| eni.ipv4.iter().chain(&eni.ipv6));
    let addresses = texts.filter_map(|text| text.split('/').next()?.parse().ok());
    let namespace = File::open(&task.netns).with_context(|| format!("open {}", task.netns))?;
    Ok(End { namespace: namespace.into(), address: kind.address(addresses)? })
}
