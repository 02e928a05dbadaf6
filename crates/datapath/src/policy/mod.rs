//! Security groups, prefix lists and members: compiled, in the maps, and evaluated.
//!
//! A group, or a family's part of a prefix list, is one element of a map and changes in one step: a program sees all
//! of its rules as they were, or all as they are. What a change means for flows that exist is decided by the policy
//! epoch, which its caller begins once all of a change is in the maps: see [`Datapath::enforce`].

mod compile;
mod id;
mod judge;
mod maps;
#[cfg(test)]
mod tests;
mod tracked;
mod wanted;

use std::net::IpAddr;

use enid_abi::Family;
use enid_model::{EniNumber, PrefixList, PrefixListId, SecurityGroup, SecurityGroupId};

use crate::Datapath;
use crate::error::DatapathError;
use crate::map::Map;

pub(crate) use id::MapId;
pub use judge::{DecidingRule, PolicyAnswer, PolicyQuestion};
pub(crate) use maps::PolicyMaps;
pub use tracked::FiveTuple;
pub use wanted::Policy;

/// An address of a member of a security group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Member {
    /// The group.
    pub group: SecurityGroupId,
    /// The address.
    pub address: IpAddr,
    /// Whose it is.
    pub eni: EniNumber,
}

impl Datapath {
    /// Sets the rules of a security group. Says whether that is a change. Fails if there are more than the programs
    /// evaluate.
    ///
    /// It may wait for some milliseconds, until no program is left that reads what was replaced before.
    pub fn set_group(&self, group: &SecurityGroup) -> Result<bool, DatapathError> {
        let policy = compile::compile_group(group)?;
        self.policy.swap_group(&group.id.object_id(), Some(&policy), &self.grace)
    }

    /// Removes a security group: it allows nothing any more. Says whether it was there.
    pub fn remove_group(&self, group: SecurityGroupId) -> Result<bool, DatapathError> {
        self.policy.swap_group(&group.object_id(), None, &self.grace)
    }

    /// Sets the blocks of a prefix list. Says whether that is a change. Fails if there are more than the programs
    /// search.
    ///
    /// It may wait as [`Self::set_group`] does.
    pub fn set_prefix_list(&self, list: &PrefixList) -> Result<bool, DatapathError> {
        let mut changed = false;
        for family in [Family::Ipv4, Family::Ipv6] {
            let ranges = compile::compile_list(list, family)?;
            let ranges = (ranges.count > 0).then_some(&ranges);
            changed |= self.policy.swap_list(&wanted::list_key(list.id, family), ranges, &self.grace)?;
        }
        Ok(changed)
    }

    /// Removes a prefix list: no address is in it any more. Says whether it was there.
    pub fn remove_prefix_list(&self, list: PrefixListId) -> Result<bool, DatapathError> {
        let mut changed = false;
        for family in [Family::Ipv4, Family::Ipv6] {
            changed |= self.policy.swap_list(&wanted::list_key(list, family), None, &self.grace)?;
        }
        Ok(changed)
    }

    /// Makes an ENI's address a member's of a security group. Says whether it was not before.
    pub fn add_member(
        &self,
        group: SecurityGroupId,
        address: IpAddr,
        eni: EniNumber,
    ) -> Result<bool, DatapathError> {
        self.policy.add_member(&wanted::member_key(group, address), eni.get())
    }

    /// Takes an ENI's address out of a security group, unless it is another ENI's by now. Says whether it was in it.
    pub fn remove_member(
        &self,
        group: SecurityGroupId,
        address: IpAddr,
        eni: EniNumber,
    ) -> Result<bool, DatapathError> {
        self.policy.remove_member(&wanted::member_key(group, address), eni.get())
    }

    /// Puts what was set and removed in force for flows that exist, too: a new policy epoch begins, and when this returns
    /// no program is left that judges by what was before. Some milliseconds.
    pub fn enforce(&self) -> Result<(), DatapathError> {
        self.advance_epoch()?;
        self.policy.settle(&self.grace)
    }

    /// Makes the maps hold a policy and nothing else, and begins a new policy epoch if that is a change; says whether
    /// it is. What both the old and the new policy allow passes all the while.
    pub fn set_policy(&self, policy: &Policy) -> Result<bool, DatapathError> {
        let changed = self.policy.set(policy, &self.grace)?;
        if changed {
            self.enforce()?;
        }
        Ok(changed)
    }

    /// The security groups in the maps.
    pub fn groups(&self) -> Result<Vec<SecurityGroupId>, DatapathError> {
        ids(&self.policy.groups, |key| SecurityGroupId::from_object_id(*key))
    }

    /// The prefix lists in the maps.
    pub fn prefix_lists(&self) -> Result<Vec<PrefixListId>, DatapathError> {
        let mut lists = ids(&self.policy.lists, |key| PrefixListId::from_object_id(key.list))?;
        // A list may have a part in each family.
        lists.sort_unstable();
        lists.dedup();
        Ok(lists)
    }

    /// The members of all security groups.
    pub fn members(&self) -> Result<Vec<Member>, DatapathError> {
        let mut members = Vec::new();
        self.policy.members.for_each(&mut |key, number| {
            let group = SecurityGroupId::from_object_id(key.group);
            let eni = EniNumber::try_from(*number).ok();
            members.extend(group.zip(eni).map(|(group, eni)| Member {
                group,
                address: address(key.address),
                eni,
            }));
        })?;
        Ok(members)
    }
}

fn ids<K: enid_abi::Plain, V: enid_abi::Plain, I>(
    map: &Map<K, V>,
    id: impl Fn(&K) -> Option<I>,
) -> Result<Vec<I>, DatapathError> {
    let mut ids = Vec::new();
    map.for_each(&mut |key, _| ids.extend(id(key)))?;
    Ok(ids)
}

/// The address in a key. No member has an IPv6 address that is a mapped one.
fn address(words: enid_abi::Address) -> IpAddr {
    compile::address_in(words).to_canonical()
}
