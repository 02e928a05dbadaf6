//! The CNI plugins and netavark.

use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use enid_testbed::floor;
use serde_json::{Value, json};

use super::contender::{Caller, Contender};
use crate::cni::{self, Cni};
use crate::host::{folder, new_host};

const NETAVARK: &str = "/usr/lib/podman/netavark";

/// A program that is started for each task, given a namespace by its path and a description on its standard input.
pub(crate) struct Plugin {
    name: &'static str,
    host: OwnedFd,
    kind: PluginKind,
}

enum PluginKind {
    Cni(Cni),
    /// With a folder of its own.
    Netavark(PathBuf),
}

impl Plugin {
    /// The CNI plugin of that name.
    pub(crate) fn cni(work: &Path, name: &'static str) -> Result<Self> {
        let plugin = Cni::new(name, &folder(work, name)?, &["10.8.0.0/16"], 9001);
        Ok(Self { name, host: new_host()?, kind: PluginKind::Cni(plugin) })
    }

    /// netavark, as podman calls it.
    pub(crate) fn netavark(work: &Path) -> Result<Self> {
        let name = "netavark";
        Ok(Self { name, host: new_host()?, kind: PluginKind::Netavark(folder(work, name)?) })
    }

    fn netns(&self, task: u32) -> PathBuf {
        match &self.kind {
            PluginKind::Cni(plugin) => plugin.netns(task),
            PluginKind::Netavark(folder) => folder.join(format!("netns-{task}")),
        }
    }
}

impl Contender for Plugin {
    fn name(&self) -> &'static str {
        self.name
    }

    fn host(&self) -> &OwnedFd {
        &self.host
    }

    fn caller(&self) -> Result<Box<dyn Caller + '_>> {
        Ok(Box::new(PluginCaller(self)))
    }
}

struct PluginCaller<'a>(&'a Plugin);

impl Caller for PluginCaller<'_> {
    fn create(&mut self, task: u32) -> Result<()> {
        let netns = self.0.netns(task);
        floor::make_namespace(&netns)?;
        floor::enter_namespace(&self.0.host)?;
        match &self.0.kind {
            PluginKind::Cni(plugin) => plugin.add(task).map(drop),
            PluginKind::Netavark(folder) => netavark(folder, "setup", &netns, task),
        }
    }

    fn delete(&mut self, task: u32) -> Result<()> {
        let netns = self.0.netns(task);
        match &self.0.kind {
            PluginKind::Cni(plugin) => plugin.delete(task)?,
            PluginKind::Netavark(folder) => netavark(folder, "teardown", &netns, task)?,
        }
        Ok(floor::remove_namespace(&netns)?)
    }
}

fn netavark(folder: &Path, verb: &str, netns: &Path, task: u32) -> Result<()> {
    let mut command = Command::new(NETAVARK);
    command.arg("--config").arg(folder).arg(verb).arg(netns);
    cni::call(&mut command, &netavark_options(&format!("task-{task}"), task))
        .with_context(|| format!("netavark {verb} {task}"))?;
    Ok(())
}

fn netavark_options(container: &str, task: u32) -> Value {
    // Past the network and the gateway.
    let address = Ipv4Addr::from_bits(Ipv4Addr::new(10, 7, 0, 2).to_bits() + task);
    json!({
        "container_id": container,
        "container_name": container,
        "networks": {
            "bench": {
                "interface_name": "eth0",
                "static_ips": [address],
            },
        },
        "network_info": {
            "bench": {
                "name": "bench",
                "id": "2f259bab93aaaaa2542ba43ef33eb990d0999ee1b9924b557b7be53c0b7a1bb9",
                "driver": "bridge",
                "network_interface": "podman0",
                "subnets": [{"subnet": "10.7.0.0/16", "gateway": "10.7.0.1"}],
                "ipv6_enabled": false,
                "internal": false,
                "dns_enabled": false,
                "options": {"mtu": "9001"},
                "ipam_options": {"driver": "host-local"},
            },
        },
    })
}
