//! The policy in force follows what is declared, and who is there.

use std::collections::HashMap;

use enid_datapath::{Datapath, DatapathError, GROUP_CAPACITY, LIST_CAPACITY, Policy};
use enid_model::{Cidr, Eni, Networks, PrefixList, PrefixListId, SecurityGroup, SecurityGroupId};

use crate::EnidError;

/// Makes sure that what is declared finds room in the tables that the programs look at.
pub(crate) fn check_room(networks: &Networks) -> Result<(), EnidError> {
    let most = |what, most: u32, given: usize| {
        if given > most as usize { Err(EnidError::PolicyFull { what, most, given }) } else { Ok(()) }
    };
    most("security groups", GROUP_CAPACITY, groups(networks).count())?;
    let parts = |list: &PrefixList| {
        let (ipv4, ipv6): (Vec<&Cidr>, Vec<&Cidr>) =
            list.entries.iter().partition(|entry| matches!(entry, Cidr::Ipv4(_)));
        usize::from(!ipv4.is_empty()) + usize::from(!ipv6.is_empty())
    };
    let lists = lists(networks).map(parts).sum();
    most("prefix lists, each counted for every family that it has entries of", LIST_CAPACITY, lists)
}

/// Puts in force what is declared and whose ENIs there are, after a start: whatever an earlier daemon left in the maps,
/// and without refusing meanwhile what it allowed and is still allowed.
pub(crate) fn restore<'e>(
    datapath: &Datapath,
    networks: &Networks,
    enis: impl IntoIterator<Item = &'e Eni>,
) -> Result<(), EnidError> {
    let mut policy = Policy::new();
    for list in lists(networks) {
        policy.add_prefix_list(list)?;
    }
    for group in groups(networks) {
        policy.add_group(group)?;
    }
    for eni in enis {
        for group in &eni.security_groups {
            eni.addresses.iter().for_each(|address| policy.add_member(*group, address, eni.number));
        }
    }
    if datapath.set_policy(&policy)? {
        tracing::info!("the policy that was found in force was not what is declared, and is now");
    }
    Ok(())
}

/// Puts in force what has changed of what is declared. When this returns, no packet is judged by what was before.
pub(crate) fn follow(datapath: &Datapath, old: &Networks, new: &Networks) -> Result<(), DatapathError> {
    let (old_groups, new_groups) = (by_id(groups(old)), by_id(groups(new)));
    let (old_lists, new_lists) = (lists_by_id(lists(old)), lists_by_id(lists(new)));
    let mut changed = false;
    // Before what refers to them.
    for (id, list) in &new_lists {
        if old_lists.get(id) != Some(list) {
            changed |= datapath.set_prefix_list(list)?;
        }
    }
    for (id, group) in &new_groups {
        if old_groups.get(id) != Some(group) {
            changed |= datapath.set_group(group)?;
        }
    }
    for id in old_groups.keys().filter(|id| !new_groups.contains_key(id)) {
        changed |= datapath.remove_group(*id)?;
    }
    for id in old_lists.keys().filter(|id| !new_lists.contains_key(id)) {
        changed |= datapath.remove_prefix_list(*id)?;
    }
    if changed { datapath.enforce() } else { Ok(()) }
}

/// Makes an ENI's addresses members of its security groups.
pub(crate) fn join(datapath: &Datapath, eni: &Eni) -> Result<(), DatapathError> {
    for group in &eni.security_groups {
        for address in eni.addresses.iter() {
            datapath.add_member(*group, address, eni.number)?;
        }
    }
    Ok(())
}

/// Takes an ENI's addresses out of its security groups, before they are given to another.
pub(crate) fn leave(datapath: &Datapath, eni: &Eni) -> Result<(), DatapathError> {
    let mut outcome = Ok(());
    for group in &eni.security_groups {
        for address in eni.addresses.iter() {
            // All that can go goes.
            outcome = outcome.and(datapath.remove_member(*group, address, eni.number).map(drop));
        }
    }
    outcome
}

fn groups(networks: &Networks) -> impl Iterator<Item = &SecurityGroup> {
    networks.vpcs().iter().flat_map(|vpc| &vpc.security_groups)
}

fn lists(networks: &Networks) -> impl Iterator<Item = &PrefixList> {
    networks.vpcs().iter().flat_map(|vpc| &vpc.prefix_lists)
}

fn by_id<'n>(groups: impl Iterator<Item = &'n SecurityGroup>) -> HashMap<SecurityGroupId, &'n SecurityGroup> {
    groups.map(|group| (group.id, group)).collect()
}

fn lists_by_id<'n>(lists: impl Iterator<Item = &'n PrefixList>) -> HashMap<PrefixListId, &'n PrefixList> {
    lists.map(|list| (list.id, list)).collect()
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use enid_model::NetworkSpec;

    use super::*;

    /// A VPC with so many prefix lists of each kind.
    fn networks(ipv4: usize, both: usize) -> Networks {
        let mut file = "[[vpc]]\nname = \"shop\"\nipv4_cidr = \"10.0.0.0/16\"\n".to_owned();
        for number in 0..ipv4 + both {
            let entries =
                if number < ipv4 { "\"192.0.2.0/24\"" } else { "\"192.0.2.0/24\", \"2001:db8::/32\"" };
            write!(file, "[[vpc.prefix_list]]\nname = \"list-{number}\"\nentries = [{entries}]\n").unwrap();
        }
        let spec = NetworkSpec::parse(&file, "network.toml").unwrap();
        Networks::default().apply(&spec).unwrap().0
    }

    #[test]
    fn a_list_takes_room_for_each_family_that_it_has() {
        assert!(check_room(&networks(1024, 0)).is_ok());
        assert!(check_room(&networks(0, 512)).is_ok());
        let error = check_room(&networks(1, 512)).unwrap_err().to_string();
        assert!(error.contains("1024 prefix lists") && error.ends_with("1025"), "{error}");
    }
}
