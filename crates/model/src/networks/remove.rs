//! Removing, always explicit. Whether ENIs still use what goes is the caller's to know.

use crate::{DEFAULT_SECURITY_GROUP, Peer, SecurityGroup, SecurityGroupId, SubnetId, Vpc, VpcId};

use super::change::Action;
use super::{Change, Networks};

/// Something can't be removed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RemoveError {
    /// Nothing has this identifier.
    #[error("there is no {kind} {id}")]
    Unknown {
        /// "VPC", "subnet" or "security group".
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
    /// Rules of other groups refer to the group.
    #[error(
        "security group {group} ({id}) can't be removed: rules of {} refer to it; change those first",
        .referenced_by.join(", ")
    )]
    Referenced {
        /// The group's name.
        group: String,
        /// Its identifier.
        id: SecurityGroupId,
        /// The names of the groups whose rules refer to it.
        referenced_by: Vec<String>,
    },
}

impl Networks {
    /// The networks without this VPC, its subnets and its security groups.
    ///
    /// # Errors
    /// There is no such VPC.
    pub fn remove_vpc(&self, id: VpcId) -> Result<(Self, Vec<Change>), RemoveError> {
        let vpc = self.vpc_by_id(id).ok_or_else(|| RemoveError::unknown("VPC", &id))?;
        let subnets = vpc.subnets.iter().map(|subnet| Change::subnet(Action::Removed, vpc, subnet));
        let groups =
            vpc.security_groups.iter().map(|group| Change::security_group(Action::Removed, vpc, group));
        let changes =
            std::iter::once(Change::vpc(Action::Removed, vpc)).chain(subnets).chain(groups).collect();
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
        let referenced_by = referenced_by(vpc, id);
        if !referenced_by.is_empty() {
            return Err(RemoveError::Referenced { group: group.name.to_string(), id, referenced_by });
        }
        let change = Change::security_group(Action::Removed, vpc, group);
        let mut networks = self.clone();
        for vpc in &mut networks.vpcs {
            vpc.security_groups.retain(|group| group.id != id);
        }
        Ok((networks, change))
    }
}

impl RemoveError {
    fn unknown(kind: &'static str, id: &impl ToString) -> Self {
        Self::Unknown { kind, id: id.to_string() }
    }
}

/// The names of the other groups whose rules refer to a group. A group's own rules may: they go with it.
fn referenced_by(vpc: &Vpc, id: SecurityGroupId) -> Vec<String> {
    let refers = |group: &&SecurityGroup| {
        let mut rules = group.ingress.iter().chain(&group.egress);
        group.id != id && rules.any(|rule| rule.peer == Peer::SecurityGroup(id))
    };
    vpc.security_groups.iter().filter(refers).map(|group| group.name.to_string()).collect()
}
