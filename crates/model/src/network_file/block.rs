//! The two address families, seen alike by what checks the blocks of VPCs and subnets.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::str::FromStr;

use crate::{Ipv4Cidr, Ipv6Cidr, ModelError};

use super::problem::{Placed, Report};
use super::table::Table;

/// A block of either family.
pub(crate) trait Block: Copy + PartialEq + Display + FromStr<Err = ModelError> {
    /// "IPv4" or "IPv6".
    const FAMILY: &'static str;
    /// The field that holds it, in VPCs and in subnets.
    const FIELD: &'static str;
    /// The prefix lengths that a VPC's block may have.
    const VPC_PREFIXES: RangeInclusive<u8>;
    /// The prefix lengths that a subnet's block may have.
    const SUBNET_PREFIXES: RangeInclusive<u8>;

    fn prefix(self) -> u8;
    fn covers(self, other: Self) -> bool;
    fn overlaps(self, other: Self) -> bool;
    /// Why no VPC can have this block, if none can.
    fn unusable(self) -> Option<&'static str>;
}

impl Block for Ipv4Cidr {
    const FAMILY: &'static str = "IPv4";
    const FIELD: &'static str = "ipv4_cidr";
    const VPC_PREFIXES: RangeInclusive<u8> = 16..=28;
    const SUBNET_PREFIXES: RangeInclusive<u8> = 16..=28;

    fn prefix(self) -> u8 {
        self.prefix()
    }

    fn covers(self, other: Self) -> bool {
        self.covers(other)
    }

    fn overlaps(self, other: Self) -> bool {
        self.overlaps(other)
    }

    fn unusable(self) -> Option<&'static str> {
        // A block is a /16 at the largest, so its first address tells (RFC 6890 names the purposes).
        match self.network().octets() {
            [0, ..] => Some("0.0.0.0/8 means \"this network\""),
            [127, ..] => Some("127.0.0.0/8 is for loopback"),
            [169, 254, ..] => Some("169.254.0.0/16 is for link-local services, task metadata among them"),
            [224..=255, ..] => Some("224.0.0.0/3 is for multicast and reserved"),
            _ => None,
        }
    }
}

impl Block for Ipv6Cidr {
    const FAMILY: &'static str = "IPv6";
    const FIELD: &'static str = "ipv6_cidr";
    const VPC_PREFIXES: RangeInclusive<u8> = 44..=64;
    const SUBNET_PREFIXES: RangeInclusive<u8> = 64..=64;

    fn prefix(self) -> u8 {
        self.prefix()
    }

    fn covers(self, other: Self) -> bool {
        self.covers(other)
    }

    fn overlaps(self, other: Self) -> bool {
        self.overlaps(other)
    }

    fn unusable(self) -> Option<&'static str> {
        // Both are smaller than or as large as a VPC's block may be, so either may hold the other.
        for (reserved, purpose) in RESERVED_IPV6 {
            if reserved.parse().is_ok_and(|reserved: Self| reserved.overlaps(self)) {
                return Some(purpose);
            }
        }
        let [first, ..] = self.network().segments();
        let unique_local = first & 0xfe00 == 0xfc00;
        let global_unicast = first & 0xe000 == 0x2000;
        (!unique_local && !global_unicast)
            .then_some("use unique local addresses (fc00::/7) or global ones (2000::/3)")
    }
}

/// Unique local addresses that have a meaning in every VPC, or on the host.
const RESERVED_IPV6: [(&str, &str); 2] = [
    ("fd00:ec2::/32", "fd00:ec2::/32 is for link-local services, instance metadata among them"),
    ("fd65:6e69:64ff::/64", "fd65:6e69:64ff::/64 is for enid's own transit addresses"),
];

/// Reads a block and checks its size; `whose` is "a VPC" or "a subnet".
pub(super) fn read<B: Block>(
    table: &Table<'_>,
    whose: &str,
    prefixes: &RangeInclusive<u8>,
    report: &mut Report<'_>,
) -> Option<Placed<B>> {
    let block = table.parse::<B>(B::FIELD, report)?;
    let prefix = block.value.prefix();
    if !prefixes.contains(&prefix) {
        let (shortest, longest) = (prefixes.start(), prefixes.end());
        let allowed =
            if shortest == longest { format!("a /{shortest}") } else { format!("/{shortest} to /{longest}") };
        let family = B::FAMILY;
        report.add(&block.place, format!("the {family} block of {whose} is {allowed}, not /{prefix}"));
        return None;
    }
    Some(block)
}

/// Refuses a table without a block of either family.
pub(super) fn require_one(table: &Table<'_>, whose: &str, report: &mut Report<'_>) {
    let fields = [Ipv4Cidr::FIELD, Ipv6Cidr::FIELD];
    if !fields.iter().any(|field| table.has(field)) {
        let [ipv4, ipv6] = fields;
        report.add(&table.place, format!("{whose} needs an address block: {ipv4}, {ipv6} or both"));
    }
}

/// Whether the address could be a host's, so that a packet to it can arrive somewhere.
pub(super) fn is_unicast(address: IpAddr) -> bool {
    let broadcast = address == Ipv4Addr::BROADCAST;
    let unspecified = address == Ipv4Addr::UNSPECIFIED || address == Ipv6Addr::UNSPECIFIED;
    !(broadcast || unspecified || address.is_multicast())
}
