//! The floor, the CNI plugins and netavark.

use std::env;
use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use enid_testbed::floor::{self, Floor, Interface};
use serde_json::{Value, json};

use crate::contender::{Caller, Contender, new_host};

const CNI_FOLDER: &str = "/usr/lib/cni";
const NETAVARK: &str = "/usr/lib/podman/netavark";

/// The least it can cost: [`enid_testbed::floor`].
pub(crate) struct FloorHost {
    host: OwnedFd,
    folder: PathBuf,
}

impl FloorHost {
    pub(crate) fn new(work: &Path) -> Result<Self> {
        Ok(Self { host: new_host()?, folder: folder(work, "floor")? })
    }
}

impl Contender for FloorHost {
    fn name(&self) -> &'static str {
        "floor"
    }

    fn host(&self) -> &OwnedFd {
        &self.host
    }

    fn device_prefix(&self) -> &'static str {
        "floor"
    }

    fn caller(&self) -> Result<Box<dyn Caller + '_>> {
        Ok(Box::new(FloorCaller { floor: Floor::open()?, folder: &self.folder }))
    }
}

struct FloorCaller<'a> {
    floor: Floor,
    folder: &'a Path,
}

impl FloorCaller<'_> {
    fn interface(&self, task: u32) -> Interface {
        let [_, a, b, c] = (task + 1).to_be_bytes();
        Interface {
            netns: self.folder.join(task.to_string()),
            index: 1_000_000 + task,
            mac: [0x02, 0x00, 0x00, a, b, c],
            mtu: 9001,
            ipv4: (Ipv4Addr::new(10, 9, b, c), 16),
            ipv4_gateway: Ipv4Addr::new(10, 9, 255, 254),
            ipv6: Ipv6Addr::from((0xfd00_u128 << 112) | u128::from(task) | 1 << 64),
            ipv6_gateway: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1),
        }
    }
}

impl Caller for FloorCaller<'_> {
    fn create(&mut self, task: u32) -> Result<()> {
        Ok(self.floor.create(&self.interface(task))?)
    }

    fn delete(&mut self, task: u32) -> Result<()> {
        Ok(self.floor.delete(&self.interface(task))?)
    }
}

/// A program that is started for each task, given a namespace by its path and a description on its standard input.
pub(crate) struct Plugin {
    name: &'static str,
    kind: PluginKind,
    host: OwnedFd,
    folder: PathBuf,
}

#[derive(Clone, Copy)]
enum PluginKind {
    Cni,
    Netavark,
}

impl Plugin {
    /// The CNI plugin of that name, with the address plugin host-local.
    pub(crate) fn cni(work: &Path, name: &'static str) -> Result<Self> {
        Self::new(work, name, PluginKind::Cni)
    }

    /// netavark, as podman calls it.
    pub(crate) fn netavark(work: &Path) -> Result<Self> {
        Self::new(work, "netavark", PluginKind::Netavark)
    }

    fn new(work: &Path, name: &'static str, kind: PluginKind) -> Result<Self> {
        Ok(Self { name, kind, host: new_host()?, folder: folder(work, name)? })
    }

    fn netns(&self, task: u32) -> PathBuf {
        self.folder.join(format!("netns-{task}"))
    }

    /// Starts the plugin and waits for it. `verb` is ADD or DEL.
    fn call(&self, verb: &str, task: u32) -> Result<()> {
        let container = format!("task-{task}");
        let (mut command, input) = match self.kind {
            PluginKind::Cni => {
                let mut command = Command::new(Path::new(CNI_FOLDER).join(self.name));
                command.env("CNI_COMMAND", verb);
                command.env("CNI_CONTAINERID", container);
                command.env("CNI_NETNS", self.netns(task));
                command.env("CNI_IFNAME", "eth0");
                command.env("CNI_PATH", CNI_FOLDER);
                (command, self.cni_configuration())
            }
            PluginKind::Netavark => {
                let mut command = Command::new(NETAVARK);
                command.arg("--config").arg(&self.folder);
                command.arg(if verb == "ADD" { "setup" } else { "teardown" });
                command.arg(self.netns(task));
                (command, netavark_options(&container, task))
            }
        };
        command.env("PATH", env::var("PATH").unwrap_or_default());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .with_context(|| format!("start {}; scripts/setup bench installs it", self.name))?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.to_string().as_bytes())?;
        }
        let output = child.wait_with_output()?;
        ensure!(
            output.status.success(),
            "{} {verb} {task}: {}{}",
            self.name,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    fn cni_configuration(&self) -> Value {
        json!({
            "cniVersion": "1.0.0",
            "name": format!("bench-{}", self.name),
            "type": self.name,
            "bridge": "cni0",
            "isGateway": true,
            "ipMasq": false,
            "mtu": 9001,
            "ipam": {
                "type": "host-local",
                "dataDir": self.folder.join("addresses"),
                "ranges": [[{"subnet": "10.8.0.0/16"}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        })
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
        floor::make_namespace(&self.0.netns(task))?;
        floor::enter_namespace(&self.0.host)?;
        self.0.call("ADD", task)
    }

    fn delete(&mut self, task: u32) -> Result<()> {
        self.0.call("DEL", task)?;
        Ok(floor::remove_namespace(&self.0.netns(task))?)
    }
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

/// A folder of the contender's own below the working folder.
fn folder(work: &Path, name: &str) -> Result<PathBuf> {
    let folder = work.join(name);
    fs::create_dir(&folder).with_context(|| format!("create {}", folder.display()))?;
    Ok(folder)
}
