//! From the domain's security groups and prefix lists to what the programs evaluate.

use std::net::{IpAddr, Ipv6Addr};

use enid_abi::{
    Address, Direction, Family, GroupPolicy, MAX_RANGES, MAX_RULES, PeerKind, PolicyRule, PrefixRanges,
    open_bit,
};
use enid_model::{Cidr, Peer, PrefixList, Protocol, Rule, SecurityGroup};

use super::id::MapId as _;
use crate::eni::words;
use crate::error::DatapathError;

/// An address in the words of keys, IPv4 mapped into IPv6.
pub(super) fn address_of(address: IpAddr) -> Address {
    words(mapped(address))
}

/// The address that words of a key stand for.
pub(super) fn address_in([upper, lower]: Address) -> IpAddr {
    let number = u128::from(u64::from_be(upper)) << 64 | u128::from(u64::from_be(lower));
    Ipv6Addr::from(number).into()
}

/// The family of an address.
pub(super) const fn family_of(address: IpAddr) -> Family {
    if address.is_ipv4() { Family::Ipv4 } else { Family::Ipv6 }
}

fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

/// A security group. Rules for everywhere come first, so that the first match is the strongest; else they keep the
/// order that they are written in.
pub(super) fn compile_group(group: &SecurityGroup) -> Result<GroupPolicy, DatapathError> {
    let mut policy = GroupPolicy::default();
    for direction in [Direction::Egress, Direction::Ingress] {
        let written = match direction {
            Direction::Egress => &group.egress,
            Direction::Ingress => &group.ingress,
        };
        if written.len() > MAX_RULES {
            return Err(DatapathError::PolicySize {
                object: group.id.to_string(),
                what: "rules in a direction",
                most: MAX_RULES,
                given: written.len(),
            });
        }
        let mut rules: Vec<PolicyRule> =
            (0..).zip(written).map(|(index, rule)| compile_rule(index, rule)).collect();
        rules.sort_by_key(|rule| !rule.is_everywhere());
        for rule in &rules {
            policy.open |= opened(rule, direction);
        }
        if let (Some(count), Some(places)) =
            (policy.counts.get_mut(direction as usize), policy.rules.get_mut(direction as usize))
        {
            *count = u32::try_from(rules.len()).unwrap_or(0);
            for (place, rule) in places.iter_mut().zip(rules) {
                *place = rule;
            }
        }
    }
    Ok(policy)
}

fn compile_rule(index: u8, rule: &Rule) -> PolicyRule {
    let (kind, peer, mask) = match rule.peer {
        Peer::Ipv4(block) => {
            // The upper 96 bits are the same in every mapped address: they say nothing.
            let mask = u128::from(u32::MAX.checked_shl(32 - u32::from(block.prefix())).unwrap_or(0));
            (PeerKind::Ipv4, masked(block.network().to_ipv6_mapped(), mask), mask)
        }
        Peer::Ipv6(block) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(block.prefix())).unwrap_or(0);
            (PeerKind::Ipv6, masked(block.network(), mask), mask)
        }
        Peer::PrefixList(list) => (PeerKind::List, list.object_id(), 0),
        Peer::SecurityGroup(group) => (PeerKind::Group, group.object_id(), 0),
    };
    let (first, last) = selectors(rule);
    PolicyRule {
        peer,
        mask: words(mask.into()),
        first,
        last,
        protocol: match rule.protocol {
            Protocol::All => PolicyRule::ALL_PROTOCOLS,
            Protocol::Number(number) => number.into(),
        },
        kind: kind as u8,
        index,
    }
}

fn masked(network: Ipv6Addr, mask: u128) -> Address {
    words((u128::from(network) & mask).into())
}

/// The first and the last port, or ICMP type × 256 + code.
fn selectors(rule: &Rule) -> (u16, u16) {
    if let Some(ports) = rule.ports {
        return (ports.first(), ports.last());
    }
    let Some(icmp) = rule.icmp else { return (0, u16::MAX) };
    let selector = |code| u16::from_be_bytes([icmp.icmp_type, code]);
    icmp.code.map_or((selector(0), selector(u8::MAX)), |code| (selector(code), selector(code)))
}

/// What the rule opens to everywhere with all ports, as bits of [`GroupPolicy::open`].
fn opened(rule: &PolicyRule, direction: Direction) -> u32 {
    if !rule.is_everywhere() || !rule.is_unselective() {
        return 0;
    }
    let family = if rule.kind == PeerKind::Ipv4 as u8 { Family::Ipv4 } else { Family::Ipv6 };
    let bit = |protocol| open_bit(direction as u8, protocol, family as u8);
    match u8::try_from(rule.protocol) {
        Ok(protocol) => bit(protocol),
        Err(_) => [6, 17].into_iter().map(bit).fold(0, |all, bit| all | bit),
    }
}

/// The blocks of a prefix list in one family, as ranges that are sorted and apart.
pub(super) fn compile_list(list: &PrefixList, family: Family) -> Result<PrefixRanges, DatapathError> {
    let mut ranges: Vec<(u128, u128)> =
        list.entries.iter().filter_map(|block| range(*block, family)).collect();
    if ranges.len() > MAX_RANGES {
        return Err(DatapathError::PolicySize {
            object: list.id.to_string(),
            what: "blocks",
            most: MAX_RANGES,
            given: ranges.len(),
        });
    }
    ranges.sort_unstable();
    let mut apart: Vec<(u128, u128)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match apart.last_mut() {
            // They overlap, or one begins where the other ends.
            Some(previous) if first <= previous.1.saturating_add(1) => previous.1 = previous.1.max(last),
            _ => apart.push((first, last)),
        }
    }
    let mut compiled = PrefixRanges { count: apart.len() as u64, ..PrefixRanges::default() };
    for (place, (first, last)) in compiled.ranges.iter_mut().zip(apart) {
        *place = [halves(first), halves(last)];
    }
    Ok(compiled)
}

/// The first and the last address of a block, if it is of the family.
fn range(block: Cidr, family: Family) -> Option<(u128, u128)> {
    let (network, host_bits) = match (block, family) {
        (Cidr::Ipv4(block), Family::Ipv4) => {
            (block.network().to_ipv6_mapped(), 32 - u32::from(block.prefix()))
        }
        (Cidr::Ipv6(block), Family::Ipv6) => (block.network(), 128 - u32::from(block.prefix())),
        _ => return None,
    };
    let first = u128::from(network);
    Some((first, first | u128::MAX.checked_shr(128 - host_bits).unwrap_or(0)))
}

#[allow(clippy::cast_possible_truncation, reason = "the halves are meant")]
const fn halves(number: u128) -> [u64; 2] {
    [(number >> 64) as u64, number as u64]
}
