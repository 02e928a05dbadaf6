//! Elastic network interfaces.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::{EniId, IdleTimeouts, MacAddress, ModelError, Mtu, SecurityGroupId, SubnetId, VpcId};

/// The number of an ENI on its host: the interface index of its host end, so that one eBPF map serves every
/// namespace. At least 1,000,000, to stay clear of the indexes that the kernel gives out, and positive as an `i32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct EniNumber(u32);

impl EniNumber {
    /// The first.
    pub const MIN: Self = Self(1_000_000);
    /// The last: interface indexes are signed in the kernel.
    pub const MAX: Self = Self(i32::MAX.unsigned_abs());

    /// The interface index.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The number after this one; after the last, the first.
    #[must_use]
    pub const fn next(self) -> Self {
        if self.0 == Self::MAX.0 { Self::MIN } else { Self(self.0 + 1) }
    }
}

impl TryFrom<u32> for EniNumber {
    type Error = ModelError;

    fn try_from(number: u32) -> Result<Self, ModelError> {
        let (min, max) = (Self::MIN.0, Self::MAX.0);
        if !(min..=max).contains(&number) {
            return Err(ModelError::OutOfRange {
                kind: "ENI number",
                value: number.into(),
                min: min.into(),
                max: max.into(),
            });
        }
        Ok(Self(number))
    }
}

impl From<EniNumber> for u32 {
    fn from(number: EniNumber) -> Self {
        number.0
    }
}

impl fmt::Display for EniNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The private addresses of an ENI: one of either family, or one of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EniAddresses {
    /// The IPv4 address, where its subnet has an IPv4 block.
    pub ipv4: Option<Ipv4Addr>,
    /// The IPv6 address, where its subnet has an IPv6 block.
    pub ipv6: Option<Ipv6Addr>,
}

impl EniAddresses {
    /// The addresses there are, IPv4 first.
    pub fn iter(self) -> impl Iterator<Item = IpAddr> {
        self.ipv4.map(IpAddr::V4).into_iter().chain(self.ipv6.map(IpAddr::V6))
    }
}

/// An elastic network interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Eni {
    /// The identifier.
    pub id: EniId,
    /// Its number on this host.
    pub number: EniNumber,
    /// Where it lives.
    pub vpc: VpcId,
    /// Where its addresses come from.
    pub subnet: SubnetId,
    /// Its Ethernet address.
    pub mac: MacAddress,
    /// Its addresses.
    pub addresses: EniAddresses,
    /// Its MTU.
    pub mtu: Mtu,
    /// Its security groups, 1 to [`MAX_SECURITY_GROUPS`](crate::MAX_SECURITY_GROUPS).
    pub security_groups: Vec<SecurityGroupId>,
    /// How long its tracked flows may be idle.
    #[serde(default)]
    pub idle_timeouts: IdleTimeouts,
}
