//! The daemon, as a child of the benchmark, and its clients.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use enid_api::Client;
use enid_api::v1::{CreateTaskRequest, DeleteTaskRequest, ListNetworksRequest, ListNetworksResponse, Vpc};
use enid_testbed::floor;
use rustix::process::{Pid, Signal, kill_process};
use tokio::runtime::{Builder, Runtime};

use crate::contender::{Caller, Contender, new_host};

/// A running daemon with its embedded default network.
pub(crate) struct EnidHost {
    host: OwnedFd,
    daemon: Child,
    socket: PathBuf,
    subnet: String,
}

impl EnidHost {
    /// Starts `program` with `enid.toml`, `run` and `state` of the working folder. The calling thread must outlive
    /// the daemon and is in its host's namespace afterwards.
    pub(crate) fn start(program: &Path, work: &Path) -> Result<Self> {
        let host = new_host()?;
        floor::enter_namespace(&host)?;
        let log = work.join("enid.log");
        let daemon = Command::new("setpriv")
            // However the benchmark ends, so does the daemon.
            .args(["--pdeathsig", "TERM"])
            .arg(program)
            .arg("serve")
            .arg("--config")
            .arg(work.join("enid.toml"))
            .arg("--run-dir")
            .arg(work.join("run/enid"))
            .arg("--state-dir")
            .arg(work.join("state"))
            .stdout(File::create(&log)?)
            .stderr(File::options().append(true).open(&log)?)
            .spawn()
            .context("start enid serve")?;
        let mut enid = Self { host, daemon, socket: work.join("run/enid/enid.sock"), subnet: String::new() };
        let start = Instant::now();
        let vpcs = loop {
            match enid.networks() {
                Ok(vpcs) => break vpcs,
                Err(_) if enid.daemon.try_wait()?.is_none() && start.elapsed() < Duration::from_secs(20) => {
                    thread::sleep(Duration::from_millis(20));
                }
                Err(error) => bail!("enid serve does not answer: {error:#}\n{}", fs::read_to_string(&log)?),
            }
        };
        enid.subnet = vpcs
            .into_iter()
            .flat_map(|vpc| vpc.subnets)
            .map(|subnet| subnet.id)
            .next()
            .context("the default network has no subnet")?;
        Ok(enid)
    }

    /// The daemon's resident memory, in bytes.
    pub(crate) fn resident(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.daemon.id()))?;
        let kibibytes: u64 = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"))
            .context("/proc/PID/status has no VmRSS")?
            .parse()?;
        Ok(kibibytes * 1024)
    }

    fn networks(&self) -> Result<Vec<Vpc>> {
        let runtime = runtime()?;
        runtime.block_on(async {
            let client = Client::connect(&self.socket).await?;
            let answer: ListNetworksResponse =
                client.networks().list(ListNetworksRequest {}).await?.into_inner();
            Ok(answer.vpcs)
        })
    }
}

impl Drop for EnidHost {
    fn drop(&mut self) {
        // A daemon that is gone already is what is wanted.
        let _ = kill_process(Pid::from_child(&self.daemon), Signal::TERM);
        let _ = self.daemon.wait();
    }
}

impl Contender for EnidHost {
    fn name(&self) -> &'static str {
        "enid"
    }

    fn host(&self) -> &OwnedFd {
        &self.host
    }

    fn router(&self) -> Result<OwnedFd> {
        let path = self
            .networks()?
            .into_iter()
            .find_map(|vpc| vpc.router_netns)
            .context("no VPC has a router: does no task exist?")?;
        Ok(File::open(path)?.into())
    }

    fn device_prefix(&self) -> &'static str {
        "eni"
    }

    fn caller(&self) -> Result<Box<dyn Caller + '_>> {
        let runtime = runtime()?;
        let client = runtime.block_on(Client::connect(&self.socket))?;
        Ok(Box::new(EnidCaller { runtime, client, subnet: &self.subnet }))
    }
}

/// A client with a connection of its own, driven by the thread that waits for the answer.
struct EnidCaller<'a> {
    runtime: Runtime,
    client: Client,
    subnet: &'a str,
}

impl Caller for EnidCaller<'_> {
    fn create(&mut self, task: u32) -> Result<()> {
        let request = CreateTaskRequest {
            name: format!("bench-{task}"),
            subnet: self.subnet.to_owned(),
            ..CreateTaskRequest::default()
        };
        self.runtime.block_on(self.client.tasks().create(request))?;
        Ok(())
    }

    fn delete(&mut self, task: u32) -> Result<()> {
        let request = DeleteTaskRequest { name: format!("bench-{task}") };
        self.runtime.block_on(self.client.tasks().delete(request))?;
        Ok(())
    }
}

fn runtime() -> Result<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}
