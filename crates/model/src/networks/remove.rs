//! Removing, always explicit. Whether ENIs still use what goes is the caller's to know.

use crate::{
    DEFAULT_SECURITY_GROUP, Name, Peer, PrefixListId, SecurityGroup, SecurityGroupId, SubnetId, VpcId,
};

use super::change::Action;
use super::{Change, Networks};

/// Something can't be removed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RemoveError {
    /// Nothing has this identifier.
    #[error("there is no {kind} {id}")]
    Unknown {
        /// "VPC", "subnet", "security group" or "prefix list".
        kind: &'static str,
        /// The identifier.
        id: String,
    },
    /// The group `default` belongs to its VPC.
    #[error(
        "security group {group} ({id}) can't be removed: every VPC has one; removing VPC {vpc} removes it too"
    )]
    DefaultGroup {
        /// The group's name.
        group: String,
        /// Its identifier.
        id: SecurityGroupId,
        /// Its VPC's name.
        vpc: String,
    },
    /// Rules of other groups refer to it.
    #[error("{kind} {name} ({id}) can't be removed: rules of {} refer to it; change those first", .referenced_by.join(", "))]
    Referenced {
        /// "security group" or "prefix list".
        kind: &'static str,
        /// Its name.
        name: String,
        /// Its identifier.
        id: String,
        /// The names of the groups whose rules refer to it.
        referenced_by: Vec<String>,
    },
}

impl Networks {
    /// The networks without this VPC, its subnets, its prefix lists and its security groups.
    ///
    /// # Errors
    /// There is no such VPC.
    pub fn remove_vpc(&self, id: VpcId) -> Result<(Self, Vec<Change>), RemoveError> {
        let vpc = self.vpc_by_id(id).ok_or_else(|| RemoveError::unknown("VPC", &id))?;
        let subnets = vpc.subnets.iter().map(|subnet| Change::subnet(Action::Removed, vpc, subnet));
        let groups =
            vpc.security_groups.iter().map(|group| Change::security_group(Action::Removed, vpc, group));
        let lists = vpc.prefix_lists.iter().map(|list| Change::prefix_list(Action::Removed, vpc, list));
        let changes = std::iter::once(Change::vpc(Action::Removed, vpc))
            .chain(subnets)
            .chain(lists)
            .chain(groups)
            .collect();
        let mut networks = self.clone();
        networks.vpcs.retain(|vpc| vpc.id != id);
        Ok((networks, changes))
    }

    /// The networks without this subnet.
    ///
    /// # Errors
    /// There is no such subnet.
    pub fn remove_subnet(&self, id: SubnetId) -> Result<(Self, Change), RemoveError> {
        let (vpc, subnet) = self.subnet_by_id(id).ok_or_else(|| RemoveError::unknown("subnet", &id))?;
        let change = Change::subnet(Action::Removed, vpc, subnet);
        let mut networks = self.clone();
        for vpc in &mut networks.vpcs {
            vpc.subnets.retain(|subnet| subnet.id != id);
        }
        Ok((networks, change))
    }

    /// The networks without this security group.
    ///
    /// # Errors
    /// There is no such group, it is its VPC's `default`, or rules of other groups refer to it.
    pub fn remove_security_group(&self, id: SecurityGroupId) -> Result<(Self, Change), RemoveError> {
        let (vpc, group) =
            self.security_group_by_id(id).ok_or_else(|| RemoveError::unknown("security group", &id))?;
        if group.name.as_str() == DEFAULT_SECURITY_GROUP {
            return Err(RemoveError::DefaultGroup {
                group: group.name.to_string(),
                id,
                vpc: vpc.name.to_string(),
            });
        }
        // Its own rules may refer to it: they go with it.
        let others = vpc.security_groups.iter().filter(|other| other.id != id);
        unreferenced("security group", &group.name, &id, others, &Peer::SecurityGroup(id))?;
        let change = Change::security_group(Action::Removed, vpc, group);
        let mut networks = self.clone();
        for vpc in &mut networks.vpcs {
            vpc.security_groups.retain(|group| group.id != id);
        }
        Ok((networks, change))
    }

    /// The networks without this prefix list.
    ///
    /// # Errors
    /// There is no such list, or rules refer to it.
    pub fn remove_prefix_list(&self, id: PrefixListId) -> Result<(Self, Change), RemoveError> {
        let (vpc, list) =
            self.prefix_list_by_id(id).ok_or_else(|| RemoveError::unknown("prefix list", &id))?;
        unreferenced("prefix list", &list.name, &id, vpc.security_groups.iter(), &Peer::PrefixList(id))?;
        let change = Change::prefix_list(Action::Removed, vpc, list);
        let mut networks = self.clone();
        for vpc in &mut networks.vpcs {
            vpc.prefix_lists.retain(|list| list.id != id);
        }
        Ok((networks, change))
    }
}

impl RemoveError {
    fn unknown(kind: &'static str, id: &impl ToString) -> Self {
        Self::Unknown { kind, id: id.to_string() }
    }
}

/// Refuses what rules of these groups refer to.
fn unreferenced<'v>(
    kind: &'static str,
    name: &Name,
    id: &impl ToString,
    groups: impl Iterator<Item = &'v SecurityGroup>,
    peer: &Peer,
) -> Result<(), RemoveError> {
    let refers = |group: &&SecurityGroup| {
        let mut rules = group.ingress.iter().chain(&group.egress);
        rules.any(|rule| rule.peer == *peer)
    };
    let referenced_by: Vec<String> = groups.filter(refers).map(|group| group.name.to_string()).collect();
    if referenced_by.is_empty() {
        return Ok(());
    }
    Err(RemoveError::Referenced { kind, name: name.to_string(), id: id.to_string(), referenced_by })
}
