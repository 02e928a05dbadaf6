//! The maps of the policy, and how they change while programs read them.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use enid_abi::{GroupPolicy, ListKey, MemberKey, ObjectId, Plain, PrefixRanges};

use super::wanted::Policy;
use crate::error::DatapathError;
use crate::grace::GracePeriod;
use crate::map::Map;

/// Groups, prefix lists and members, as the programs find them.
#[derive(Debug)]
pub(crate) struct PolicyMaps {
    pub(super) groups: Map<ObjectId, GroupPolicy>,
    pub(super) lists: Map<ListKey, PrefixRanges>,
    pub(super) members: Map<MemberKey, u32>,
    /// Whether a group or a list was replaced or removed that a program may still be reading.
    replaced: Mutex<bool>,
    /// One at a time changes members, as they are looked at before.
    members_hand: Mutex<()>,
}

impl PolicyMaps {
    pub(crate) fn new(
        groups: Map<ObjectId, GroupPolicy>,
        lists: Map<ListKey, PrefixRanges>,
        members: Map<MemberKey, u32>,
    ) -> Self {
        Self { groups, lists, members, replaced: Mutex::new(false), members_hand: Mutex::new(()) }
    }

    /// Sets what a group is, or removes it. Says whether that is a change.
    pub(super) fn swap_group(
        &self,
        key: &ObjectId,
        policy: Option<&GroupPolicy>,
        grace: &GracePeriod,
    ) -> Result<bool, DatapathError> {
        self.swap(&self.groups, key, policy, grace)
    }

    /// Sets what a prefix list has in a family, or removes it. Says whether that is a change.
    pub(super) fn swap_list(
        &self,
        key: &ListKey,
        ranges: Option<&PrefixRanges>,
        grace: &GracePeriod,
    ) -> Result<bool, DatapathError> {
        self.swap(&self.lists, key, ranges, grace)
    }

    /// Programs find either the old value or the new one, whole.
    ///
    /// The kernel links a new element in the old one's place in one step, but gives the old one's memory to the next
    /// element of the map that is made, without waiting for programs that are still reading it (`bpf_mem_alloc`, Linux
    /// 6.1; preallocated maps always did). So before another is made a grace period passes, unless nothing was replaced
    /// since the last. A single change waits for nothing.
    fn swap<K: Plain, V: Plain + PartialEq>(
        &self,
        map: &Map<K, V>,
        key: &K,
        value: Option<&V>,
        grace: &GracePeriod,
    ) -> Result<bool, DatapathError> {
        let mut replaced = self.replaced.lock().unwrap_or_else(PoisonError::into_inner);
        let present = map.get(key)?;
        if present.as_ref() == value {
            return Ok(false);
        }
        match value {
            Some(value) => {
                if *replaced {
                    grace.wait()?;
                    *replaced = false;
                }
                map.set(key, value)?;
            }
            None => drop(map.remove(key)?),
        }
        *replaced |= present.is_some();
        Ok(true)
    }

    /// Waits until no program is left that reads what was replaced or removed.
    pub(super) fn settle(&self, grace: &GracePeriod) -> Result<(), DatapathError> {
        let mut replaced = self.replaced.lock().unwrap_or_else(PoisonError::into_inner);
        grace.wait()?;
        *replaced = false;
        Ok(())
    }

    /// Makes an address a member's. Says whether it was not.
    pub(super) fn add_member(&self, key: &MemberKey, eni: u32) -> Result<bool, DatapathError> {
        let _hand = self.members_hand();
        if self.members.get(key)? == Some(eni) {
            return Ok(false);
        }
        self.members.set(key, &eni).map(|()| true)
    }

    /// Makes an address nobody's, unless it is another ENI's by now. Says whether it was this one's.
    pub(super) fn remove_member(&self, key: &MemberKey, eni: u32) -> Result<bool, DatapathError> {
        let _hand = self.members_hand();
        if self.members.get(key)? != Some(eni) {
            return Ok(false);
        }
        self.members.remove(key)
    }

    fn members_hand(&self) -> MutexGuard<'_, ()> {
        self.members_hand.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the maps equal to a policy. Says whether that is a change.
    ///
    /// What is wanted is written before what is not is removed, what groups refer to before the groups; and what old
    /// rules refer to is removed when no program reads them any more. So nothing that both the old policy and the new
    /// one allow is refused meanwhile.
    pub(super) fn set(&self, policy: &Policy, grace: &GracePeriod) -> Result<bool, DatapathError> {
        let mut changed = false;
        for (key, eni) in &policy.members {
            changed |= self.add_member(key, *eni)?;
        }
        for (key, ranges) in &policy.lists {
            changed |= self.swap_list(key, Some(ranges), grace)?;
        }
        for (key, group) in &policy.groups {
            changed |= self.swap_group(key, Some(group), grace)?;
        }
        for key in unwanted(&self.groups, |key| policy.groups.contains_key(key))? {
            changed |= self.swap_group(&key, None, grace)?;
        }
        if changed {
            grace.wait()?;
        }
        for key in unwanted(&self.lists, |key| policy.lists.contains_key(key))? {
            changed |= self.swap_list(&key, None, grace)?;
        }
        for key in unwanted(&self.members, |key| policy.members.contains_key(key))? {
            changed |= self.members.remove(&key)?;
        }
        Ok(changed)
    }
}

/// The keys of a map that are not wanted.
fn unwanted<K: Plain + Eq + Hash, V: Plain>(
    map: &Map<K, V>,
    is_wanted: impl Fn(&K) -> bool,
) -> Result<HashSet<K>, DatapathError> {
    let mut keys = HashSet::new();
    map.for_each(&mut |key, _| {
        if !is_wanted(key) {
            keys.insert(*key);
        }
    })?;
    Ok(keys)
}
