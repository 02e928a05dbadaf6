//! Finding a VPC, a subnet, a security group or a prefix list by what a user calls it.

use std::str::FromStr;

use crate::{Name, PrefixList, PrefixListId, SecurityGroup, SecurityGroupId, Subnet, SubnetId, Vpc, VpcId};

use super::Networks;

/// What a user called for can't be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// Nothing has this name or identifier.
    #[error("there is no {kind} `{wanted}`; {}", there_is(.known))]
    Unknown {
        /// "VPC", "subnet", "security group" or "prefix list".
        kind: &'static str,
        /// What was called for.
        wanted: String,
        /// What there is, in the form that finds it.
        known: Vec<String>,
    },
    /// Several VPCs have a thing of this name.
    #[error("{kind} `{wanted}` is in several VPCs; say which: {}", .candidates.join(", "))]
    Ambiguous {
        /// "subnet", "security group" or "prefix list".
        kind: &'static str,
        /// What was called for.
        wanted: String,
        /// What it may be, as `vpc/name`.
        candidates: Vec<String>,
    },
    /// It names another VPC than the one that is asked.
    #[error("{kind} `{wanted}`: it has to be of vpc {vpc}")]
    OtherVpc {
        /// "subnet", "security group" or "prefix list".
        kind: &'static str,
        /// What was called for.
        wanted: String,
        /// The VPC that is asked.
        vpc: Name,
    },
}

fn there_is(known: &[String]) -> String {
    if known.is_empty() {
        return "there is none yet".to_owned();
    }
    format!("there is {}", known.join(", "))
}

impl Networks {
    /// The VPC of this identifier or name.
    pub fn vpc(&self, wanted: &str) -> Result<&Vpc, LookupError> {
        find(self.vpcs.iter(), wanted).ok_or_else(|| LookupError::Unknown {
            kind: "VPC",
            wanted: wanted.to_owned(),
            known: self.vpcs.iter().map(|vpc| vpc.name.to_string()).collect(),
        })
    }

    /// The VPC of this identifier.
    pub fn vpc_by_id(&self, id: VpcId) -> Option<&Vpc> {
        self.vpcs.iter().find(|vpc| vpc.id == id)
    }

    /// The subnet of this identifier, of this name in a VPC (`vpc/subnet`), or of this name where only one VPC has
    /// it; with its VPC.
    pub fn subnet(&self, wanted: &str) -> Result<(&Vpc, &Subnet), LookupError> {
        self.member(wanted, |vpc| &vpc.subnets)
    }

    /// The subnet of this identifier, with its VPC.
    pub fn subnet_by_id(&self, id: SubnetId) -> Option<(&Vpc, &Subnet)> {
        self.members(|vpc| &vpc.subnets).find(|(_, subnet)| subnet.id == id)
    }

    /// The security group of this identifier, of this name in a VPC (`vpc/group`), or of this name where only one
    /// VPC has it; with its VPC.
    pub fn security_group(&self, wanted: &str) -> Result<(&Vpc, &SecurityGroup), LookupError> {
        self.member(wanted, |vpc| &vpc.security_groups)
    }

    /// The security group of this identifier, with its VPC.
    pub fn security_group_by_id(&self, id: SecurityGroupId) -> Option<(&Vpc, &SecurityGroup)> {
        self.members(|vpc| &vpc.security_groups).find(|(_, group)| group.id == id)
    }

    /// The prefix list of this identifier, of this name in a VPC (`vpc/list`), or of this name where only one VPC has
    /// it; with its VPC.
    pub fn prefix_list(&self, wanted: &str) -> Result<(&Vpc, &PrefixList), LookupError> {
        self.member(wanted, |vpc| &vpc.prefix_lists)
    }

    /// The prefix list of this identifier, with its VPC.
    pub fn prefix_list_by_id(&self, id: PrefixListId) -> Option<(&Vpc, &PrefixList)> {
        self.members(|vpc| &vpc.prefix_lists).find(|(_, list)| list.id == id)
    }

    fn members<'n, T: 'n>(
        &'n self,
        of: impl Fn(&'n Vpc) -> &'n [T],
    ) -> impl Iterator<Item = (&'n Vpc, &'n T)> {
        self.vpcs.iter().flat_map(move |vpc| of(vpc).iter().map(move |member| (vpc, member)))
    }

    fn member<'n, T: Member>(
        &'n self,
        wanted: &str,
        of: impl Fn(&'n Vpc) -> &'n [T],
    ) -> Result<(&'n Vpc, &'n T), LookupError> {
        let kind = T::KIND;
        let unknown = |among: &[&'n Vpc]| LookupError::Unknown {
            kind,
            wanted: wanted.to_owned(),
            known: among.iter().flat_map(|vpc| of(vpc).iter().map(|member| qualified(vpc, member))).collect(),
        };
        if let Some((vpc, name)) = wanted.split_once('/') {
            let vpc = self.vpc(vpc)?;
            return match find(of(vpc).iter(), name) {
                Some(member) => Ok((vpc, member)),
                None => Err(unknown(&[vpc])),
            };
        }
        if let Ok(id) = wanted.parse::<T::Id>()
            && let Some(found) = self.members(&of).find(|(_, member)| member.id() == id)
        {
            return Ok(found);
        }
        let mut named = self.members(&of).filter(|(_, member)| member.name().as_str() == wanted);
        match (named.next(), named.next()) {
            (Some(found), None) => Ok(found),
            (None, _) => Err(unknown(&self.vpcs.iter().collect::<Vec<_>>())),
            (Some(first), Some(second)) => Err(LookupError::Ambiguous {
                kind,
                wanted: wanted.to_owned(),
                candidates: [first, second]
                    .into_iter()
                    .chain(named)
                    .map(|(vpc, member)| qualified(vpc, member))
                    .collect(),
            }),
        }
    }
}

impl Vpc {
    /// The subnet of this identifier or name.
    pub fn subnet(&self, wanted: &str) -> Result<&Subnet, LookupError> {
        self.member(wanted, &self.subnets)
    }

    /// The security group of this identifier or name; a name may say that it is this VPC's (`vpc/group`).
    pub fn security_group(&self, wanted: &str) -> Result<&SecurityGroup, LookupError> {
        self.member(wanted, &self.security_groups)
    }

    /// The security group of this identifier.
    pub fn security_group_by_id(&self, id: SecurityGroupId) -> Option<&SecurityGroup> {
        self.security_groups.iter().find(|group| group.id == id)
    }

    /// The prefix list of this identifier or name.
    pub fn prefix_list(&self, wanted: &str) -> Result<&PrefixList, LookupError> {
        self.member(wanted, &self.prefix_lists)
    }

    /// The prefix list of this identifier.
    pub fn prefix_list_by_id(&self, id: PrefixListId) -> Option<&PrefixList> {
        self.prefix_lists.iter().find(|list| list.id == id)
    }

    fn member<'v, T: Member>(&self, wanted: &str, members: &'v [T]) -> Result<&'v T, LookupError> {
        let name = match wanted.split_once('/') {
            Some((vpc, name)) if find(std::iter::once(self), vpc).is_some() => name,
            Some(_) => {
                let (kind, wanted, vpc) = (T::KIND, wanted.to_owned(), self.name.clone());
                return Err(LookupError::OtherVpc { kind, wanted, vpc });
            }
            None => wanted,
        };
        find(members.iter(), name).ok_or_else(|| LookupError::Unknown {
            kind: T::KIND,
            wanted: wanted.to_owned(),
            known: members.iter().map(|member| qualified(self, member)).collect(),
        })
    }
}

/// What has an identifier and a name.
trait Member {
    const KIND: &'static str;
    type Id: FromStr + PartialEq;

    fn id(&self) -> Self::Id;
    fn name(&self) -> &Name;
}

macro_rules! member {
    ($type:ty, $id:ty, $kind:literal) => {
        impl Member for $type {
            const KIND: &'static str = $kind;
            type Id = $id;

            fn id(&self) -> $id {
                self.id
            }

            fn name(&self) -> &Name {
                &self.name
            }
        }
    };
}

member!(Vpc, VpcId, "VPC");
member!(Subnet, SubnetId, "subnet");
member!(SecurityGroup, SecurityGroupId, "security group");
member!(PrefixList, PrefixListId, "prefix list");

/// The one of this identifier, or else of this name: a name may look like an identifier.
fn find<'m, T: Member>(mut members: impl Iterator<Item = &'m T> + Clone, wanted: &str) -> Option<&'m T> {
    let by_id = wanted.parse::<T::Id>().ok().and_then(|id| members.clone().find(|member| member.id() == id));
    by_id.or_else(|| members.find(|member| member.name().as_str() == wanted))
}

fn qualified<T: Member>(vpc: &Vpc, member: &T) -> String {
    format!("{}/{}", vpc.name, member.name())
}
