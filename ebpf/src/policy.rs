//! Security groups: the evaluation is in `enid-abi`, shared with user space; the maps it looks into are here.

use core::ffi::c_void;

use aya_ebpf::helpers::bpf_loop;
use enid_abi::{
    Address, Direction, EniSlot, GroupPolicy, ListKey, MAX_RULES, Match, MemberKey, ObjectId, Policies,
    PolicyPacket, PrefixRanges, RangeSearch, is_match, judge,
};

use crate::maps::{GROUPS, LISTS, MEMBERS};
use crate::packet::{Fragment, Packet};

/// The groups, members and lists of this host.
struct Maps;

impl Policies for Maps {
    #[inline(always)]
    fn with_group<T>(&self, group: &ObjectId, each: impl FnOnce(&GroupPolicy) -> T) -> Option<T> {
        // SAFETY: a replaced value is not used again before the programs that may read it have ended.
        unsafe { GROUPS.get(group) }.map(each)
    }

    #[inline(always)]
    fn is_member(&self, key: &MemberKey) -> bool {
        MEMBERS.get_ptr(key).is_some()
    }

    #[inline(always)]
    fn is_listed(&self, key: &ListKey, address: Address) -> bool {
        // SAFETY: as above.
        let Some(ranges) = (unsafe { LISTS.get(key) }) else {
            return false;
        };
        let mut looking = ListLoop { ranges, search: ranges.search(address) };
        repeat(PrefixRanges::STEPS + 1, ListLoop::step, &mut looking);
        looking.search.is_found
    }

    #[inline(always)]
    fn first_match(&self, policy: &GroupPolicy, packet: &PolicyPacket, found: &mut u8) -> Match {
        let count = policy.counts[usize::from(packet.direction & 1)];
        let mut looking = RuleLoop { policy, packet, matched: Match::None as u32, found: 0 };
        repeat(count, RuleLoop::step, &mut looking);
        *found = looking.found as u8;
        match looking.matched {
            0 => Match::None,
            1 => Match::Tracked,
            _ => Match::Everywhere,
        }
    }
}

/// Calls a function at most so many times, until it answers 1. The verifier looks at it once, where it would follow
/// every turn of a loop.
#[inline(always)]
fn repeat<T>(times: u32, step: extern "C" fn(u32, &mut T) -> u64, state: &mut T) {
    // SAFETY: the function takes the index and what is passed on to it, which lives until the loop has ended.
    unsafe { bpf_loop(times, step as *mut c_void, core::ptr::from_mut(state).cast(), 0) };
}

/// Looking for the rule that is for a packet.
struct RuleLoop<'a> {
    policy: &'a GroupPolicy,
    packet: &'a PolicyPacket,
    matched: u32,
    found: u32,
}

impl RuleLoop<'_> {
    #[inline(never)]
    extern "C" fn step(index: u32, this: &mut Self) -> u64 {
        let place = index as usize;
        if place >= MAX_RULES {
            return 1;
        }
        let rule = &this.policy.rules[usize::from(this.packet.direction & 1)][place];
        if !is_match(rule, this.packet, &Maps) {
            return 0;
        }
        this.matched = Match::of(rule) as u32;
        this.found = u32::from(rule.index);
        1
    }
}

/// Looking for an address in a prefix list.
struct ListLoop<'a> {
    ranges: &'a PrefixRanges,
    search: RangeSearch,
}

impl ListLoop<'_> {
    #[inline(never)]
    extern "C" fn step(_: u32, this: &mut Self) -> u64 {
        u64::from(this.ranges.step(&mut this.search))
    }
}

/// What rules say of a packet.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Rules {
    /// No rule allows it.
    Refused = 0,
    /// One does, and the connection is to be tracked.
    Tracked = 1,
    /// One does, and another lets the answers through.
    Untracked = 2,
}

/// Evaluates the security groups of an ENI.
#[inline(always)]
pub fn evaluate(slot: &EniSlot, direction: u8, packet: &Packet, question: &mut PolicyPacket) -> Rules {
    let inbound = direction == Direction::Ingress as u8;
    let key = &packet.key;
    *question = PolicyPacket {
        peer: words(if inbound { &key.source } else { &key.destination }),
        selector: packet.selector,
        is_selector_known: packet.fragment != Fragment::Unknown as u8,
        protocol: key.protocol,
        family: key.family,
        direction,
    };
    let judgement = judge(&slot.groups, slot.group_count, question, &Maps);
    if judgement.matched as u32 == Match::None as u32 {
        Rules::Refused
    } else if judgement.untracked {
        Rules::Untracked
    } else {
        Rules::Tracked
    }
}

/// An address of a packet's key, as two words.
#[inline(always)]
pub fn words(address: &[u8; 16]) -> Address {
    let words = core::ptr::from_ref(address).cast::<u64>();
    // SAFETY: 16 bytes that are initialized, in a `Packet`, which is aligned to 8. Volatile, or the compiler makes
    // a loop over single bytes of it.
    unsafe { [words.read_volatile(), words.add(1).read_volatile()] }
}
