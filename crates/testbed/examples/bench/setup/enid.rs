//! The daemon as a contender.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::{Context as _, Result};
use enid_api::v1::CreateTaskRequest;

use super::contender::{Caller, Contender};
use crate::enid::{Daemon, Session};

/// A running daemon with its embedded default network.
pub(crate) struct EnidHost {
    daemon: Daemon,
    subnet: String,
}

impl EnidHost {
    /// Starts `program`: [`Daemon::start`].
    pub(crate) fn start(program: &Path, work: &Path) -> Result<Self> {
        let daemon = Daemon::start(program, work, "enid", "")?;
        let mut subnets = daemon.networks()?.into_iter().flat_map(|vpc| vpc.subnets);
        let subnet = subnets.next().context("the default network has no subnet")?.id;
        Ok(Self { daemon, subnet })
    }

    /// The daemon's resident memory, in bytes.
    pub(crate) fn resident(&self) -> Result<u64> {
        self.daemon.resident()
    }
}

impl Contender for EnidHost {
    fn name(&self) -> &'static str {
        "enid"
    }

    fn host(&self) -> &OwnedFd {
        self.daemon.host()
    }

    fn router(&self) -> Result<OwnedFd> {
        let path = self
            .daemon
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
        Ok(Box::new(EnidCaller { session: self.daemon.session()?, subnet: &self.subnet }))
    }
}

struct EnidCaller<'a> {
    session: Session,
    subnet: &'a str,
}

impl Caller for EnidCaller<'_> {
    fn create(&mut self, task: u32) -> Result<()> {
        self.session.create(CreateTaskRequest {
            name: format!("bench-{task}"),
            subnet: self.subnet.to_owned(),
            ..CreateTaskRequest::default()
        })?;
        Ok(())
    }

    fn delete(&mut self, task: u32) -> Result<()> {
        self.session.delete(format!("bench-{task}"))
    }
}
