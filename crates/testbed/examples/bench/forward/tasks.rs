//! Two tasks of a daemon.

use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context as _, Result};
use enid_api::v1::{ApplyRequest, CreateTaskRequest, Task};

use super::subject::{Kind, Subject, open};
use crate::enid::Daemon;
use crate::traffic::{End, Pair};

/// A VPC whose group lets its members reach each other, as one rule among others.
const NETWORK: &str = r#"
[[vpc]]
name = "bench"
ipv4_cidr = "10.9.0.0/16"
ipv6_cidr = "fd09::/56"
uplink = "nat"

[[vpc.subnet]]
name = "bench-a"
zone = "local-a"
ipv4_cidr = "10.9.0.0/20"
ipv6_cidr = "fd09::/64"

[[vpc.security_group]]
name = "measured"
ingress = [
  { protocol = "tcp", ports = 22, cidr = "192.0.2.0/24" },
  { protocol = "tcp", ports = 443, cidr = "0.0.0.0/0" },
  { protocol = "tcp", ports = 443, cidr = "::/0" },
  { protocol = "tcp", ports = "5000-5999", security_group = "measured" },
  { protocol = "udp", ports = "5000-5999", security_group = "measured" },
  { protocol = "icmp", cidr = "10.9.0.0/16" },
]
egress = [
  { protocol = "tcp", ports = 443, cidr = "0.0.0.0/0" },
  { protocol = "tcp", ports = "1024-65535", security_group = "measured" },
  { protocol = "udp", ports = "1024-65535", security_group = "measured" },
  { protocol = "udp", ports = 53, cidr = "10.9.0.2/32" },
]
"#;

/// Starts a daemon and declares the network.
pub(crate) fn start(program: &Path, work: &Path, name: &str, more: &str) -> Result<Daemon> {
    let daemon = Daemon::start(program, work, name, more)?;
    let (runtime, client) = daemon.client()?;
    let request =
        ApplyRequest { source: NETWORK.to_owned(), file_name: "bench.toml".to_owned(), dry_run: false };
    runtime.block_on(client.networks().apply(request)).context("declare a network")?;
    Ok(daemon)
}

/// Two tasks in one subnet, both in the group.
pub(crate) fn tasks(daemon: &Daemon, name: &'static str, kind: Kind) -> Result<Subject> {
    let end = |side: &str| {
        let (runtime, client) = daemon.client()?;
        let request = CreateTaskRequest {
            name: format!("{side}-{}", kind.mtu),
            subnet: "bench-a".to_owned(),
            security_groups: vec!["measured".to_owned()],
            mtu: Some(kind.mtu),
            ..CreateTaskRequest::default()
        };
        let task = runtime.block_on(client.tasks().create(request)).context("create a task")?.into_inner();
        anyhow::Ok(End { namespace: open(&task.netns)?, address: kind.address(addresses(&task))? })
    };
    Ok(Subject { name, pair: Pair { client: end("client")?, server: end("server")? }, _host: None })
}

/// A task's addresses.
pub(crate) fn addresses(task: &Task) -> Vec<IpAddr> {
    let eni = task.eni.iter();
    let texts = eni.flat_map(|eni| eni.ipv4.iter().chain(&eni.ipv6));
    texts.filter_map(|text| text.split('/').next()?.parse().ok()).collect()
}
