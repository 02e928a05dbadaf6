//! What a valid network file says, by names: identifiers are given when it is applied.

use std::net::IpAddr;

use crate::{Cidr, Ipv4Cidr, Ipv6Cidr, Name, PeerSpec, RuleSpec, Uplink};

use super::problem::Written;

/// A valid network file. Only [`NetworkSpec::parse`] makes one, so that each holds what the file format promises:
/// unique names, blocks inside their VPC's, no overlaps, references that resolve.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NetworkSpec {
    pub(crate) vpcs: Vec<VpcSpec>,
}

impl NetworkSpec {
    /// The declared VPCs, in the file's order.
    pub fn vpcs(&self) -> &[VpcSpec] {
        &self.vpcs
    }
}

/// A declared VPC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VpcSpec {
    /// The name, unique on the host.
    pub name: Name,
    /// The IPv4 block, /16 to /28.
    pub ipv4_cidr: Option<Ipv4Cidr>,
    /// The IPv6 block, /44 to /64.
    pub ipv6_cidr: Option<Ipv6Cidr>,
    /// The way out.
    pub uplink: Uplink,
    /// The domain of private names.
    pub domain: Name,
    /// The resolvers that tasks are given.
    pub dns_servers: Vec<IpAddr>,
    /// The declared subnets, in the file's order.
    pub subnets: Vec<SubnetSpec>,
    /// The declared prefix lists, in the file's order.
    pub prefix_lists: Vec<PrefixListSpec>,
    /// The declared security groups, in the file's order. `default` is among them only if the file declares it.
    pub security_groups: Vec<SecurityGroupSpec>,
    /// The declared flow logs, in the file's order.
    pub flow_logs: Vec<FlowLogSpec>,
}

/// A declared flow log: texts, which whoever makes flow logs reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowLogSpec {
    /// A [`Name`], unique in the file.
    pub name: Written,
    /// The name of the subnet whose records it has; the VPC's where absent.
    pub subnet: Option<Written>,
    /// Where to.
    pub destination: Written,
    /// The fields of a record.
    pub format: Option<Written>,
    /// The aggregation interval in seconds.
    pub interval: Option<Written>,
    /// Which records.
    pub traffic: Option<Written>,
    /// What a file is.
    pub file_format: Option<Written>,
    /// Whether folders are named as Hive names partitions.
    pub hive_partitions: bool,
    /// Whether each hour has a folder.
    pub hourly_partitions: bool,
    /// The keys of tags to show.
    pub interface_tags: Vec<Written>,
}

/// A declared subnet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubnetSpec {
    /// The name, unique in the VPC.
    pub name: Name,
    /// The availability zone.
    pub zone: Name,
    /// The IPv4 block, /16 to /28, inside the VPC's.
    pub ipv4_cidr: Option<Ipv4Cidr>,
    /// The IPv6 block, a /64 inside the VPC's.
    pub ipv6_cidr: Option<Ipv6Cidr>,
}

/// A declared prefix list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrefixListSpec {
    /// The name, unique in the VPC.
    pub name: Name,
    /// The blocks, each once.
    pub entries: Vec<Cidr>,
}

/// A declared security group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityGroupSpec {
    /// The name, unique in the VPC.
    pub name: Name,
    /// What may reach members.
    pub ingress: Vec<RuleSpec>,
    /// What members may reach.
    pub egress: Vec<RuleSpec>,
}

impl SecurityGroupSpec {
    /// The group `default` of a VPC whose file doesn't declare it: its own members in, everything out.
    pub(crate) fn default_group() -> Self {
        let name = Name::default_security_group();
        Self {
            ingress: vec![RuleSpec::all(PeerSpec::SecurityGroup(name.clone()))],
            egress: Self::everything_out(),
            name,
        }
    }

    /// The egress rules of a group that declares none.
    pub(super) fn everything_out() -> Vec<RuleSpec> {
        let anywhere = [Cidr::Ipv4(Ipv4Cidr::ALL), Cidr::Ipv6(Ipv6Cidr::ALL)];
        anywhere.map(|cidr| RuleSpec::all(PeerSpec::Cidr(cidr))).to_vec()
    }
}
