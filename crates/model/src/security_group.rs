//! Security groups: allow rules, by direction.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    Cidr, IcmpSelector, Ipv4Cidr, Ipv6Cidr, Name, PortRange, PrefixListId, Protocol, SecurityGroupId,
};

/// The most rules that a group may have in one direction, as VPCs have it.
pub const MAX_RULES: usize = 60;

/// The most security groups that an ENI may have, as VPCs have it.
pub const MAX_SECURITY_GROUPS: usize = 5;

/// The name of the group that every VPC has, and that an ENI joins unless told otherwise.
pub const DEFAULT_SECURITY_GROUP: &str = "default";

/// A set of allow rules. What no rule allows is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityGroup {
    /// The identifier.
    pub id: SecurityGroupId,
    /// The name, unique in the VPC.
    pub name: Name,
    /// What may reach members.
    pub ingress: Vec<Rule>,
    /// What members may reach.
    pub egress: Vec<Rule>,
}

/// One allow rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// The protocols it is for.
    pub protocol: Protocol,
    /// The destination ports, for TCP and UDP; all of them where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<PortRange>,
    /// The messages, for ICMP and ICMPv6; all of them where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmp: Option<IcmpSelector>,
    /// The other side.
    pub peer: Peer,
}

/// The other side of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Peer {
    /// Addresses of an IPv4 block.
    Ipv4(Ipv4Cidr),
    /// Addresses of an IPv6 block.
    Ipv6(Ipv6Cidr),
    /// The addresses of another group's members, or of the same group's.
    SecurityGroup(SecurityGroupId),
    /// Addresses of a prefix list's blocks.
    PrefixList(PrefixListId),
}

impl From<Cidr> for Peer {
    fn from(cidr: Cidr) -> Self {
        match cidr {
            Cidr::Ipv4(cidr) => Self::Ipv4(cidr),
            Cidr::Ipv6(cidr) => Self::Ipv6(cidr),
        }
    }
}

impl Peer {
    /// Every IPv4 and every IPv6 address, as the two peers that it takes to say so.
    pub const fn anywhere() -> [Self; 2] {
        [Self::Ipv4(Ipv4Cidr::ALL), Self::Ipv6(Ipv6Cidr::ALL)]
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ipv4(cidr) => cidr.fmt(f),
            Self::Ipv6(cidr) => cidr.fmt(f),
            Self::SecurityGroup(id) => id.fmt(f),
            Self::PrefixList(id) => id.fmt(f),
        }
    }
}
