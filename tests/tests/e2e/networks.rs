//! The networks that tests run in, and what a task has in them.

use std::net::IpAddr;
use std::path::PathBuf;

use enid_api::v1::{ListNetworksRequest, Subnet, Task, Vpc};
use enid_netns::Namespace;
use enid_testbed::{Host, HostOptions, namespace};

/// Two isolated VPCs with the same blocks, and two with a way out and the same blocks.
pub(crate) const NETWORKS: &str = r#"
[[vpc]]
name = "red"
ipv4_cidr = "10.0.0.0/16"
ipv6_cidr = "fd00:a::/56"
uplink = "none"
domain = "red.internal"
dns_servers = ["10.0.0.2"]
security_group = [{ name = "g1" }, { name = "g2" }, { name = "g3" }, { name = "g4" }, { name = "g5" }, { name = "g6" }]
subnet = [
  { name = "a", zone = "zone-a", ipv4_cidr = "10.0.0.0/24", ipv6_cidr = "fd00:a::/64" },
  { name = "b", zone = "zone-b", ipv4_cidr = "10.0.1.0/24", ipv6_cidr = "fd00:a:0:1::/64" },
  { name = "tiny", zone = "zone-a", ipv4_cidr = "10.0.2.0/28" },
  { name = "four", zone = "zone-a", ipv4_cidr = "10.0.3.0/24" },
  { name = "six", zone = "zone-b", ipv6_cidr = "fd00:a:0:2::/64" },
]

[[vpc]]
name = "blue"
ipv4_cidr = "10.0.0.0/16"
ipv6_cidr = "fd00:a::/56"
uplink = "none"
subnet = [{ name = "a", zone = "zone-a", ipv4_cidr = "10.0.0.0/24", ipv6_cidr = "fd00:a::/64" }]

[[vpc]]
name = "shop"
ipv4_cidr = "10.1.0.0/16"
ipv6_cidr = "fd00:b::/56"
uplink = "nat"
subnet = [{ name = "a", zone = "zone-a", ipv4_cidr = "10.1.0.0/24", ipv6_cidr = "fd00:b::/64" }]

[[vpc]]
name = "bank"
ipv4_cidr = "10.1.0.0/16"
ipv6_cidr = "fd00:b::/56"
uplink = "nat"
subnet = [{ name = "a", zone = "zone-a", ipv4_cidr = "10.1.0.0/24", ipv6_cidr = "fd00:b::/64" }]
"#;

/// A host with these networks.
#[track_caller]
pub(crate) fn host() -> Host {
    host_as(&HostOptions::default())
}

/// A host with these networks, made as told.
#[track_caller]
pub(crate) fn host_as(options: &HostOptions) -> Host {
    let host = Host::start(options);
    host.apply(NETWORKS);
    host
}

/// The namespace of a task.
#[track_caller]
pub(crate) fn inside(task: &Task) -> Namespace {
    namespace::open(&task.netns)
}

/// Its ENI's number.
pub(crate) fn number(task: &Task) -> u32 {
    task.eni.as_ref().unwrap().number
}

/// Its IPv4 address.
#[track_caller]
pub(crate) fn ipv4(task: &Task) -> IpAddr {
    without_prefix(task.eni.as_ref().unwrap().ipv4.as_deref().unwrap())
}

/// Its IPv6 address.
#[track_caller]
pub(crate) fn ipv6(task: &Task) -> IpAddr {
    without_prefix(task.eni.as_ref().unwrap().ipv6.as_deref().unwrap())
}

fn without_prefix(text: &str) -> IpAddr {
    text.split('/').next().unwrap().parse().unwrap()
}

/// The VPCs of a host.
#[track_caller]
pub(crate) fn vpcs(host: &Host) -> Vec<Vpc> {
    host.call(async |client| client.networks().list(ListNetworksRequest {}).await).unwrap().vpcs
}

/// A VPC by name.
#[track_caller]
pub(crate) fn vpc(host: &Host, name: &str) -> Vpc {
    vpcs(host).into_iter().find(|vpc| vpc.name == name).unwrap()
}

/// A subnet, as `vpc/subnet`.
#[track_caller]
pub(crate) fn subnet(host: &Host, name: &str) -> Subnet {
    let (vpc_name, subnet) = name.split_once('/').unwrap();
    vpc(host, vpc_name).subnets.into_iter().find(|found| found.name == subnet).unwrap()
}

/// The namespace of a VPC's router.
#[track_caller]
pub(crate) fn router(host: &Host, vpc_name: &str) -> Namespace {
    namespace::open(PathBuf::from(vpc(host, vpc_name).router_netns.expect("a router")))
}
