//! Two tasks of a daemon.

use std::path::Path;

use anyhow::Result;
use enid_api::v1::CreateTaskRequest;

use crate::enid::{Daemon, task_end};
use crate::subject::{Kind, Subject};
use crate::traffic::Pair;

/// Buffers as large as those of a bare veth: no BIG TCP.
pub(crate) const PLAIN: &str = "[eni]\ngso_max_size = 65536\n";

/// A VPC whose group lets its members reach each other, as one rule among others.
const NETWORK: &str = r#"
[[vpc]]
name = "bench"
ipv4_cidr = "10.9.0.0/16"
ipv6_cidr = "fd09::/56"
uplink = "UPLINK"

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

/// Starts a daemon and declares the network, with that uplink.
pub(crate) fn start(program: &Path, work: &Path, name: &str, uplink: &str, more: &str) -> Result<Daemon> {
    let daemon = Daemon::start(program, work, name, more)?;
    daemon.session()?.apply(&NETWORK.replace("UPLINK", uplink))?;
    Ok(daemon)
}

/// Two tasks in one subnet, both in the group.
pub(crate) fn tasks(daemon: &Daemon, name: &'static str, kind: Kind) -> Result<Subject> {
    let session = daemon.session()?;
    let end = |side: &str| {
        let task = session.create(CreateTaskRequest {
            name: format!("{side}-{}", kind.mtu),
            subnet: "bench-a".to_owned(),
            security_groups: vec!["measured".to_owned()],
            mtu: Some(kind.mtu),
            ..CreateTaskRequest::default()
        })?;
        task_end(&task, kind)
    };
    Ok(Subject { name, pair: Pair { client: end("client")?, server: end("server")? }, _host: None })
}
