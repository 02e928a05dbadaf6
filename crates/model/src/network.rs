//! VPCs and their subnets.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{ModelError, serde_as_text};
use crate::{Ipv4Cidr, Ipv6Cidr, Name, PrefixList, SecurityGroup, SubnetId, VpcId};

/// A virtual private cloud: address blocks, subnets in them, security groups, and a way out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vpc {
    /// The identifier.
    pub id: VpcId,
    /// The name, unique on the host.
    pub name: Name,
    /// The IPv4 block that its subnets are cut from.
    pub ipv4_cidr: Option<Ipv4Cidr>,
    /// The IPv6 block that its subnets are cut from.
    pub ipv6_cidr: Option<Ipv6Cidr>,
    /// The way out.
    pub uplink: Uplink,
    /// The domain of private names, `ip-10-0-0-5.<domain>`, and the search domain of tasks.
    pub domain: Name,
    /// The resolvers that tasks are given; none by default.
    pub dns_servers: Vec<IpAddr>,
    /// Its subnets, in the order they were declared.
    pub subnets: Vec<Subnet>,
    /// Its security groups, in the order they were declared; one of them is named `default`.
    pub security_groups: Vec<SecurityGroup>,
    /// Its prefix lists, in the order they were declared.
    #[serde(default)]
    pub prefix_lists: Vec<PrefixList>,
}

/// A subnet of a VPC, in one zone. It has an IPv4 block, an IPv6 block, or both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    /// The identifier.
    pub id: SubnetId,
    /// The name, unique in the VPC.
    pub name: Name,
    /// The availability zone.
    pub zone: Name,
    /// The IPv4 block, /16 to /28.
    pub ipv4_cidr: Option<Ipv4Cidr>,
    /// The IPv6 block, a /64.
    pub ipv6_cidr: Option<Ipv6Cidr>,
}

impl Subnet {
    /// The router's IPv6 address for tasks, the same in every subnet: link-local, so that it needs no prefix.
    pub const IPV6_GATEWAY: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

    /// The router's IPv4 address: base + 1.
    pub fn ipv4_gateway(&self) -> Option<Ipv4Addr> {
        self.ipv4_cidr?.nth(1)
    }

    /// The router's global IPv6 address in this subnet, base + 1: the source of its ICMPv6 errors.
    pub fn ipv6_router_address(&self) -> Option<Ipv6Addr> {
        self.ipv6_cidr?.nth(1)
    }
}

/// A VPC's way out of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Uplink {
    /// None: the VPC ends at its own blocks.
    None,
    /// Through the host, masqueraded behind its addresses.
    Nat,
}

impl fmt::Display for Uplink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::None => "none",
            Self::Nat => "nat",
        })
    }
}

impl FromStr for Uplink {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        match text {
            "none" => Ok(Self::None),
            "nat" => Ok(Self::Nat),
            _ => Err(ModelError::malformed("an uplink", text, "expected `nat` or `none`")),
        }
    }
}

serde_as_text!(Uplink);
