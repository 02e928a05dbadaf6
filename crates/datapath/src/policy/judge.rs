//! What the policy in force says of a packet: the programs' evaluation, over the programs' maps, in user space.

use std::cell::RefCell;
use std::net::IpAddr;

use enid_abi::{
    Address, Direction, EniSlot, GroupPolicy, ListKey, Match, MemberKey, ObjectId, Policies, PolicyPacket,
    PrefixRanges, judge,
};
use enid_model::{EniNumber, SecurityGroupId};

use super::compile::{address_of, family_of};
use super::id::MapId as _;
use super::maps::PolicyMaps;
use crate::Datapath;
use crate::error::DatapathError;
use crate::map::Map;

/// What rules look at, of a packet that an ENI sends or that arrives for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PolicyQuestion {
    /// As the ENI sees it.
    pub direction: Direction,
    /// The other side's address.
    pub peer: IpAddr,
    /// The protocol (IANA).
    pub protocol: u8,
    /// Of TCP and UDP the destination port, of ICMP type × 256 + code, else 0; absent where it is not known, as in a
    /// fragment.
    pub selector: Option<u16>,
}

/// What the rules of an ENI's security groups say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PolicyAnswer {
    /// The rule that allows it; absent if none does.
    pub rule: Option<DecidingRule>,
    /// Whether the rule allows it without connection tracking: from or to everywhere, and the answers as well.
    pub untracked: bool,
}

/// A rule that allows something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecidingRule {
    /// Its group.
    pub group: SecurityGroupId,
    /// Its place among the group's rules of that direction, from 0, as they are written.
    pub index: usize,
}

impl Datapath {
    /// What the rules in force of an open or closed ENI's security groups say of a packet. Connections that are
    /// tracked already are not looked at.
    pub fn judge(&self, eni: EniNumber, question: &PolicyQuestion) -> Result<PolicyAnswer, DatapathError> {
        let slot = self.own_slot(eni)?;
        judge_by(&self.policy, &slot, question)
    }

    /// Whether an address is the ENI's own, so that it may send with it.
    pub fn owns_address(&self, eni: EniNumber, address: IpAddr) -> Result<bool, DatapathError> {
        let slot = self.own_slot(eni)?;
        Ok(if address.is_ipv4() { slot.ipv4 } else { slot.ipv6 } == address_of(address))
    }
}

pub(super) fn judge_by(
    maps: &PolicyMaps,
    slot: &EniSlot,
    question: &PolicyQuestion,
) -> Result<PolicyAnswer, DatapathError> {
    let packet = PolicyPacket {
        peer: address_of(question.peer),
        selector: question.selector.unwrap_or(0),
        is_selector_known: question.selector.is_some(),
        protocol: question.protocol,
        family: family_of(question.peer) as u8,
        direction: question.direction as u8,
    };
    let policies = KernelPolicies { maps, failure: RefCell::new(None) };
    let judgement = judge(&slot.groups, slot.group_count, &packet, &policies);
    if let Some(failure) = policies.failure.into_inner() {
        return Err(failure);
    }
    let group = slot.groups.get(usize::from(judgement.group)).filter(|_| judgement.matched != Match::None);
    Ok(PolicyAnswer {
        rule: group.and_then(|group| {
            let group = SecurityGroupId::from_object_id(*group)?;
            Some(DecidingRule { group, index: judgement.rule.into() })
        }),
        untracked: judgement.untracked,
    })
}

/// The maps as the evaluation wants them: it asks yes or no, so a failure is kept beside.
struct KernelPolicies<'a> {
    maps: &'a PolicyMaps,
    failure: RefCell<Option<DatapathError>>,
}

impl KernelPolicies<'_> {
    fn get<K: enid_abi::Plain, V: enid_abi::Plain>(&self, map: &Map<K, V>, key: &K) -> Option<V> {
        map.get(key).unwrap_or_else(|failure| {
            self.failure.borrow_mut().get_or_insert(failure);
            None
        })
    }
}

impl Policies for KernelPolicies<'_> {
    fn with_group<T>(&self, group: &ObjectId, each: impl FnOnce(&GroupPolicy) -> T) -> Option<T> {
        self.get(&self.maps.groups, group).map(|group| each(&group))
    }

    fn is_member(&self, key: &MemberKey) -> bool {
        self.get(&self.maps.members, key).is_some()
    }

    fn is_listed(&self, key: &ListKey, address: Address) -> bool {
        self.get(&self.maps.lists, key).is_some_and(|ranges: PrefixRanges| ranges.contains(address))
    }
}
