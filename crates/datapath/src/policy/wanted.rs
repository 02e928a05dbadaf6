//! A whole policy in memory.

use std::collections::HashMap;
use std::net::IpAddr;

use enid_abi::{Address, Family, GroupPolicy, ListKey, MemberKey, ObjectId, Policies, PrefixRanges};
use enid_model::{EniNumber, PrefixList, PrefixListId, SecurityGroup, SecurityGroupId};

use super::compile::{address_of, compile_group, compile_list};
use super::id::MapId as _;
use crate::error::DatapathError;

/// Everything that the maps are to hold of security groups, prefix lists and members: what
/// [`Datapath::set_policy`](crate::Datapath::set_policy) makes of them, and nothing else.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    pub(super) groups: HashMap<ObjectId, Box<GroupPolicy>>,
    pub(super) lists: HashMap<ListKey, Box<PrefixRanges>>,
    pub(super) members: HashMap<MemberKey, u32>,
}

impl Policy {
    /// One in which nobody may do anything.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a security group. Fails if it has more rules than the programs evaluate.
    pub fn add_group(&mut self, group: &SecurityGroup) -> Result<(), DatapathError> {
        self.groups.insert(group.id.object_id(), Box::new(compile_group(group)?));
        Ok(())
    }

    /// Adds a prefix list. Fails if it has more entries than the programs search.
    pub fn add_prefix_list(&mut self, list: &PrefixList) -> Result<(), DatapathError> {
        for family in [Family::Ipv4, Family::Ipv6] {
            let ranges = compile_list(list, family)?;
            if ranges.count > 0 {
                self.lists.insert(list_key(list.id, family), Box::new(ranges));
            }
        }
        Ok(())
    }

    /// Adds an ENI's address to the members of a group.
    pub fn add_member(&mut self, group: SecurityGroupId, address: IpAddr, eni: EniNumber) {
        self.members.insert(member_key(group, address), eni.get());
    }
}

impl Policies for Policy {
    fn with_group<T>(&self, group: &ObjectId, each: impl FnOnce(&GroupPolicy) -> T) -> Option<T> {
        self.groups.get(group).map(|group| each(group))
    }

    fn is_member(&self, key: &MemberKey) -> bool {
        self.members.contains_key(key)
    }

    fn is_listed(&self, key: &ListKey, address: Address) -> bool {
        self.lists.get(key).is_some_and(|ranges| ranges.contains(address))
    }
}

pub(super) fn list_key(list: PrefixListId, family: Family) -> ListKey {
    ListKey { list: list.object_id(), family: family as u64 }
}

pub(super) fn member_key(group: SecurityGroupId, address: IpAddr) -> MemberKey {
    MemberKey { group: group.object_id(), address: address_of(address) }
}
