//! Security groups as the programs evaluate them, and the evaluation, which user space runs too when it explains.

#![allow(clippy::inline_always, reason = "a call costs a program more than what these do")]

use crate::{Direction, Family, Plain};

/// The most security groups of an ENI.
pub const MAX_GROUPS: usize = 5;
/// The most rules of a group in a direction.
pub const MAX_RULES: usize = 60;
/// The most ranges of a prefix list in a family: one for each of its entries.
pub const MAX_RANGES: usize = 1000;
/// Places for them: a power of two, so that programs can mask.
const RANGE_PLACES: usize = 1024;
/// The most prefix lists of a host.
pub const LIST_CAPACITY: u32 = 1024;
/// The most security groups of a host.
pub const GROUP_CAPACITY: u32 = 16_384;

/// The 68 bits of an id such as `sg-…` or `pl-…`, the upper ones first.
pub type ObjectId = [u64; 2];

/// An address as flow keys have it: 16 bytes in network order, IPv4 mapped into IPv6.
pub type Address = [u64; 2];

/// What a rule's peer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum PeerKind {
    /// An IPv4 block: `peer` under `mask`.
    Ipv4 = 0,
    /// An IPv6 block: `peer` under `mask`.
    Ipv6 = 1,
    /// The prefix list with the id `peer`.
    List = 2,
    /// The members of the group with the id `peer`.
    Group = 3,
}

/// An allow rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct PolicyRule {
    /// A block's address, or the id of a list or group.
    pub peer: [u64; 2],
    /// A block's mask, in network order.
    pub mask: [u64; 2],
    /// The first [selector](PolicyPacket::selector) that it is for.
    pub first: u16,
    /// The last.
    pub last: u16,
    /// The protocol, or [`PolicyRule::ALL_PROTOCOLS`].
    pub protocol: u16,
    /// A [`PeerKind`].
    pub kind: u8,
    /// Its place in the group as its author wrote it: compiled rules are in another order.
    pub index: u8,
}

// SAFETY: `#[repr(C)]`: 32 bytes of words, three shorts, two bytes: no gap.
unsafe impl Plain for PolicyRule {}

impl PolicyRule {
    /// Any protocol.
    pub const ALL_PROTOCOLS: u16 = 256;

    /// Whether its peer is every address of a family.
    #[inline(always)]
    pub const fn is_everywhere(&self) -> bool {
        self.kind <= PeerKind::Ipv6 as u8 && self.mask[0] | self.mask[1] == 0
    }

    /// Whether it is for every port or type.
    #[inline(always)]
    pub const fn is_unselective(&self) -> bool {
        self.first == 0 && self.last == u16::MAX
    }
}

/// A security group: its rules, those for everywhere first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct GroupPolicy {
    /// How many rules there are, by [`Direction`].
    pub counts: [u32; 2],
    /// Bits of [`open_bit`]: what all ports of are open to and from everywhere.
    pub open: u32,
    /// Zero.
    pub reserved: u32,
    /// The rules, by [`Direction`].
    pub rules: [[PolicyRule; MAX_RULES]; 2],
}

// SAFETY: `#[repr(C)]`: 16 bytes of words, then rules without gaps.
unsafe impl Plain for GroupPolicy {}

impl Default for GroupPolicy {
    fn default() -> Self {
        Self { counts: [0; 2], open: 0, reserved: 0, rules: [[PolicyRule::default(); MAX_RULES]; 2] }
    }
}

const TCP: u8 = 6;
const UDP: u8 = 17;

/// The bit in [`GroupPolicy::open`] that says that all ports of TCP or UDP are open in a direction to everywhere in a
/// family; 0 for other protocols, which are always tracked.
#[inline(always)]
pub const fn open_bit(direction: u8, protocol: u8, family: u8) -> u32 {
    let protocol = match protocol {
        TCP => 0,
        UDP => 1,
        _ => return 0,
    };
    let family = (family == Family::Ipv6 as u8) as u32;
    1 << ((direction as u32 & 1) << 2 | protocol << 1 | family)
}

/// Key of a group's member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(C)]
pub struct MemberKey {
    /// The group.
    pub group: ObjectId,
    /// The member's address.
    pub address: Address,
}

// SAFETY: `#[repr(C)]`, four words.
unsafe impl Plain for MemberKey {}

/// Key of a prefix list's part in one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(C)]
pub struct ListKey {
    /// The list.
    pub list: ObjectId,
    /// A [`Family`].
    pub family: u64,
}

// SAFETY: `#[repr(C)]`, three words.
unsafe impl Plain for ListKey {}

/// Addresses of a prefix list in one family, as ranges that are sorted and apart. Both ends are numbers (host order),
/// upper half first, and belong to the range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct PrefixRanges {
    /// How many ranges there are.
    pub count: u64,
    /// First and last address of each.
    pub ranges: [[[u64; 2]; 2]; RANGE_PLACES],
}

// SAFETY: `#[repr(C)]`, words only.
unsafe impl Plain for PrefixRanges {}

#[allow(clippy::large_stack_arrays, reason = "what a map's value is, is put together in place")]
impl Default for PrefixRanges {
    fn default() -> Self {
        Self { count: 0, ranges: [[[0; 2]; 2]; RANGE_PLACES] }
    }
}

/// Where a search in ranges has come to.
#[derive(Debug, Clone, Copy)]
pub struct RangeSearch {
    /// The address, as a number.
    address: [u64; 2],
    /// The first range that may have it.
    low: u64,
    /// The first that can't, from there on.
    high: u64,
    /// Whether it was found.
    pub is_found: bool,
}

impl PrefixRanges {
    /// The most steps that a search takes.
    pub const STEPS: u32 = usize::BITS - MAX_RANGES.leading_zeros();

    /// Begins to search for an address.
    #[inline(always)]
    pub const fn search(&self, address: Address) -> RangeSearch {
        let address = [u64::from_be(address[0]), u64::from_be(address[1])];
        RangeSearch { address, low: 0, high: self.count, is_found: false }
    }

    /// One step of a binary search; says whether it was the last.
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation, reason = "masked")]
    #[allow(clippy::indexing_slicing, reason = "masked")]
    #[allow(clippy::manual_midpoint, reason = "two numbers of at most 1,000 do not overflow")]
    pub const fn step(&self, search: &mut RangeSearch) -> bool {
        if search.low >= search.high {
            return true;
        }
        let middle = (search.low + search.high) / 2;
        // The verifier does not know that the middle has a place; it can follow a mask.
        let range = &self.ranges[middle as usize & (RANGE_PLACES - 1)];
        if is_less(search.address, range[0]) {
            search.high = middle;
        } else if is_less(range[1], search.address) {
            search.low = middle + 1;
        } else {
            search.is_found = true;
            return true;
        }
        false
    }

    /// Whether an address is in one of the ranges.
    pub const fn contains(&self, address: Address) -> bool {
        let mut search = self.search(address);
        while !self.step(&mut search) {}
        search.is_found
    }
}

#[inline(always)]
const fn is_less(a: [u64; 2], b: [u64; 2]) -> bool {
    a[0] < b[0] || a[0] == b[0] && a[1] < b[1]
}

/// Whether an address is in ::ffff:0:0/96: in a packet's header, rather than where IPv4 is mapped, nobody's.
#[inline(always)]
const fn is_mapped(address: Address) -> bool {
    address[0] == 0 && u64::from_be(address[1]) >> 32 == 0xffff
}

/// What of a packet rules look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PolicyPacket {
    /// The other side's address.
    pub peer: Address,
    /// Of TCP and UDP the destination port, of ICMP type × 256 + code, else 0.
    pub selector: u16,
    /// Whether the selector is known: it is not in fragments whose first was not seen.
    pub is_selector_known: bool,
    /// The protocol.
    pub protocol: u8,
    /// A [`Family`].
    pub family: u8,
    /// A [`Direction`].
    pub direction: u8,
}

/// Where policies are found: maps, in the programs as in user space.
pub trait Policies {
    /// Calls `each` with the policy of a group, if there is one.
    fn with_group<T>(&self, group: &ObjectId, each: impl FnOnce(&GroupPolicy) -> T) -> Option<T>;
    /// Whether an address is a member's.
    fn is_member(&self, key: &MemberKey) -> bool;
    /// Whether a prefix list has an address.
    fn is_listed(&self, key: &ListKey, address: Address) -> bool;

    /// The first compiled rule of a group that is for a packet. `found` gets its index as its author wrote it.
    ///
    /// Programs override this, as they need another kind of loop.
    fn first_match(&self, policy: &GroupPolicy, packet: &PolicyPacket, found: &mut u8) -> Match
    where
        Self: Sized,
    {
        let direction = usize::from(packet.direction & 1);
        let (Some(count), Some(rules)) = (policy.counts.get(direction), policy.rules.get(direction)) else {
            return Match::None;
        };
        for rule in rules.iter().take(*count as usize) {
            if is_match(rule, packet, self) {
                *found = rule.index;
                return Match::of(rule);
            }
        }
        Match::None
    }
}

/// How a group's rules judge a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Match {
    /// No rule is for it.
    None = 0,
    /// One is.
    Tracked = 1,
    /// One is, and its peer is everywhere.
    Everywhere = 2,
}

impl Match {
    /// What it is if this rule is for the packet.
    #[inline(always)]
    pub const fn of(rule: &PolicyRule) -> Self {
        if rule.is_everywhere() { Self::Everywhere } else { Self::Tracked }
    }
}

/// Whether a rule is for a packet.
#[inline(always)]
pub fn is_match(rule: &PolicyRule, packet: &PolicyPacket, policies: &impl Policies) -> bool {
    if rule.protocol != PolicyRule::ALL_PROTOCOLS && rule.protocol != u16::from(packet.protocol) {
        return false;
    }
    if !rule.is_unselective()
        && (!packet.is_selector_known || packet.selector < rule.first || packet.selector > rule.last)
    {
        return false;
    }
    if rule.kind <= PeerKind::Ipv6 as u8 {
        let family = if rule.kind == PeerKind::Ipv4 as u8 { Family::Ipv4 } else { Family::Ipv6 };
        return packet.family == family as u8
            && packet.peer[0] & rule.mask[0] == rule.peer[0]
            && packet.peer[1] & rule.mask[1] == rule.peer[1];
    }
    if rule.kind == PeerKind::Group as u8 {
        if packet.family == Family::Ipv6 as u8 && is_mapped(packet.peer) {
            // It looks like an IPv4 member's, and is nobody's.
            return false;
        }
        return policies.is_member(&MemberKey { group: rule.peer, address: packet.peer });
    }
    policies.is_listed(&ListKey { list: rule.peer, family: u64::from(packet.family) }, packet.peer)
}

/// What an ENI's groups together say of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judgement {
    /// The strongest match.
    pub matched: Match,
    /// The place of the group that has it.
    pub group: u8,
    /// The rule's index in that group, as its author wrote it.
    pub rule: u8,
    /// Whether connections that the match lets through need not be tracked: the answers are let through by a rule
    /// of their own, from everywhere to every port.
    pub untracked: bool,
}

/// Evaluates the groups of an ENI. Rules only allow, so the order of groups does not matter.
#[inline(always)]
pub fn judge(
    groups: &[ObjectId; MAX_GROUPS],
    count: u32,
    packet: &PolicyPacket,
    policies: &impl Policies,
) -> Judgement {
    let mut judgement = Judgement { matched: Match::None, group: 0, rule: 0, untracked: false };
    let mut open = 0;
    for (place, id) in groups.iter().enumerate() {
        if place >= count as usize {
            break;
        }
        let mut rule = 0;
        let answer = policies.with_group(id, |group| {
            open |= group.open;
            // What is found already can only be bettered by a rule for everywhere.
            policies.first_match(group, packet, &mut rule)
        });
        let matched = answer.unwrap_or(Match::None);
        if matched as u32 > judgement.matched as u32 {
            judgement.matched = matched;
            #[allow(clippy::cast_possible_truncation, reason = "at most 5")]
            {
                judgement.group = place as u8;
            }
            judgement.rule = rule;
        }
    }
    let back = open_bit(Direction::Ingress as u8 & !packet.direction, packet.protocol, packet.family);
    judgement.untracked = judgement.matched as u32 == Match::Everywhere as u32 && open & back != 0;
    judgement
}
