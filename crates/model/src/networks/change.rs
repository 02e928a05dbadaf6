//! What applying or removing changes, told in a line each.

use std::fmt;

use crate::{SecurityGroup, SecurityGroupId, Subnet, SubnetId, Vpc, VpcId};

/// One change to the networks. Shown as a line: `+ vpc default (vpc-…) 172.31.0.0/16`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What was done.
    pub action: Action,
    /// To what.
    pub object: Object,
    /// The VPC that it is, or is in.
    pub vpc: VpcId,
    /// The rest of the line.
    pub description: String,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// It is new: `+`.
    Added,
    /// It is another than it was: `~`.
    Updated,
    /// It is gone: `-`.
    Removed,
}

/// What a change was done to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Object {
    /// A VPC.
    Vpc(VpcId),
    /// A subnet.
    Subnet(SubnetId),
    /// A security group.
    SecurityGroup(SecurityGroupId),
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.action {
            Action::Added => '+',
            Action::Updated => '~',
            Action::Removed => '-',
        };
        write!(f, "{sign} {}", self.description)
    }
}

impl Change {
    /// A VPC came or went.
    pub(super) fn vpc(action: Action, vpc: &Vpc) -> Self {
        let blocks = blocks(vpc.ipv4_cidr, vpc.ipv6_cidr);
        Self {
            action,
            object: Object::Vpc(vpc.id),
            vpc: vpc.id,
            description: format!("vpc {} ({}) {blocks}", vpc.name, vpc.id),
        }
    }

    /// A subnet came or went.
    pub(super) fn subnet(action: Action, vpc: &Vpc, subnet: &Subnet) -> Self {
        let blocks = blocks(subnet.ipv4_cidr, subnet.ipv6_cidr);
        let (name, id, zone) = (&subnet.name, subnet.id, &subnet.zone);
        Self {
            action,
            object: Object::Subnet(id),
            vpc: vpc.id,
            description: format!("subnet {name} ({id}) of vpc {}: {blocks} in zone {zone}", vpc.name),
        }
    }

    /// A security group came or went.
    pub(super) fn security_group(action: Action, vpc: &Vpc, group: &SecurityGroup) -> Self {
        let (name, id) = (&group.name, group.id);
        let ingress = rules(group.ingress.len(), "ingress");
        let egress = rules(group.egress.len(), "egress");
        Self {
            action,
            object: Object::SecurityGroup(id),
            vpc: vpc.id,
            description: format!("security-group {name} ({id}) of vpc {}: {ingress}, {egress}", vpc.name),
        }
    }

    /// The difference that an update made to a VPC's own fields, if any.
    pub(super) fn vpc_update(old: &Vpc, new: &Vpc) -> Option<Self> {
        let differences = [
            difference("ipv4_cidr", &text(old.ipv4_cidr), &text(new.ipv4_cidr)),
            difference("ipv6_cidr", &text(old.ipv6_cidr), &text(new.ipv6_cidr)),
            difference("uplink", &old.uplink.to_string(), &new.uplink.to_string()),
            difference("domain", &old.domain.to_string(), &new.domain.to_string()),
            difference("dns_servers", &list(&old.dns_servers), &list(&new.dns_servers)),
        ];
        let differences: Vec<String> = differences.into_iter().flatten().collect();
        (!differences.is_empty()).then(|| Self {
            action: Action::Updated,
            object: Object::Vpc(new.id),
            vpc: new.id,
            description: format!("vpc {}: {}", new.name, differences.join(", ")),
        })
    }

    /// The difference that an update made to a group's rules, if any.
    pub(super) fn security_group_update(vpc: &Vpc, old: &SecurityGroup, new: &SecurityGroup) -> Option<Self> {
        let differences = [("ingress", &old.ingress, &new.ingress), ("egress", &old.egress, &new.egress)]
            .into_iter()
            .filter(|(_, old, new)| old != new)
            .map(|(direction, old, new)| {
                let before = rules(old.len(), direction);
                if old.len() == new.len() {
                    format!("{before} changed")
                } else {
                    format!("{before} → {}", new.len())
                }
            });
        let differences: Vec<String> = differences.collect();
        (!differences.is_empty()).then(|| Self {
            action: Action::Updated,
            object: Object::SecurityGroup(new.id),
            vpc: vpc.id,
            description: format!(
                "security-group {} of vpc {}: {}",
                new.name,
                vpc.name,
                differences.join(", ")
            ),
        })
    }
}

fn blocks(ipv4: Option<impl fmt::Display>, ipv6: Option<impl fmt::Display>) -> String {
    let blocks = [ipv4.map(|block| block.to_string()), ipv6.map(|block| block.to_string())];
    blocks.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn rules(count: usize, direction: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {direction} rule{plural}")
}

fn difference(field: &str, old: &str, new: &str) -> Option<String> {
    (old != new).then(|| format!("{field} {old} → {new}"))
}

/// The value, or "none".
pub(super) fn text(value: Option<impl fmt::Display>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| value.to_string())
}

fn list(values: &[impl ToString]) -> String {
    if values.is_empty() {
        return "none".to_owned();
    }
    let values: Vec<String> = values.iter().map(ToString::to_string).collect();
    values.join(" ")
}
