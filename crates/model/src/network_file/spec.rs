//! What a valid network file says, by names: identifiers are given when it is applied.

use std::net::IpAddr;

use crate::{Cidr, Ipv4Cidr, Ipv6Cidr, Name, PeerSpec, RuleSpec, Uplink};

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
