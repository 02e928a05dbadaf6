//! What applying or removing changes, told in a line each.

use std::fmt;

use crate::{PrefixList, PrefixListId, Rule, SecurityGroup, SecurityGroupId, Subnet, SubnetId, Vpc, VpcId};

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
    /// A prefix list.
    PrefixList(PrefixListId),
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
        let ingress = count_rules(group.ingress.len(), "ingress");
        let egress = count_rules(group.egress.len(), "egress");
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
            field_change("ipv4_cidr", &text(old.ipv4_cidr), &text(new.ipv4_cidr)),
            field_change("ipv6_cidr", &text(old.ipv6_cidr), &text(new.ipv6_cidr)),
            field_change("uplink", &old.uplink.to_string(), &new.uplink.to_string()),
            field_change("domain", &old.domain.to_string(), &new.domain.to_string()),
            field_change("dns_servers", &list(&old.dns_servers), &list(&new.dns_servers)),
        ];
        let differences: Vec<String> = differences.into_iter().flatten().collect();
        (!differences.is_empty()).then(|| Self {
            action: Action::Updated,
            object: Object::Vpc(new.id),
            vpc: new.id,
            description: format!("vpc {}: {}", new.name, differences.join(", ")),
        })
    }

    /// A prefix list came or went.
    pub(super) fn prefix_list(action: Action, vpc: &Vpc, list: &PrefixList) -> Self {
        let (name, id, count) = (&list.name, list.id, list.entries.len());
        let entries = if count == 1 { "entry" } else { "entries" };
        Self {
            action,
            object: Object::PrefixList(id),
            vpc: vpc.id,
            description: format!("prefix-list {name} ({id}) of vpc {}: {count} {entries}", vpc.name),
        }
    }

    /// The rules that an update took from a group and gave to it. They are told by the VPC as it is after it.
    pub(super) fn rules(vpc: &Vpc, old: &SecurityGroup, new: &SecurityGroup) -> Vec<Self> {
        let update = |sign, direction, rule: &Rule| Self {
            action: Action::Updated,
            object: Object::SecurityGroup(new.id),
            vpc: vpc.id,
            description: format!(
                "security-group {} of vpc {}: {sign} {direction} {}",
                new.name,
                vpc.name,
                vpc.rule_text(rule)
            ),
        };
        let mut changes = Vec::new();
        for (direction, old, new) in
            [("ingress", &old.ingress, &new.ingress), ("egress", &old.egress, &new.egress)]
        {
            let (removed, added) = difference(old, new);
            changes.extend(removed.iter().map(|rule| update('-', direction, rule)));
            changes.extend(added.iter().map(|rule| update('+', direction, rule)));
        }
        changes
    }

    /// The entries that an update took from a prefix list and gave to it; their numbers where they are many.
    pub(super) fn entries(vpc: &Vpc, old: &PrefixList, new: &PrefixList) -> Vec<Self> {
        let update = |what: String| Self {
            action: Action::Updated,
            object: Object::PrefixList(new.id),
            vpc: vpc.id,
            description: format!("prefix-list {} of vpc {}: {what}", new.name, vpc.name),
        };
        let (removed, added) = difference(&old.entries, &new.entries);
        if removed.len() + added.len() > MOST_ENTRIES_TOLD {
            let (removed, added, count) = (removed.len(), added.len(), new.entries.len());
            return vec![update(format!("{removed} removed, {added} added, {count} now"))];
        }
        let removed = removed.iter().map(|cidr| format!("- {cidr}"));
        removed.chain(added.iter().map(|cidr| format!("+ {cidr}"))).map(update).collect()
    }
}

/// How many entries a change to a prefix list tells one by one.
const MOST_ENTRIES_TOLD: usize = 20;

/// What of the old list is not in the new, and the other way round. Of what is there several times, each counts.
pub(super) fn difference<'l, T: PartialEq>(old: &'l [T], new: &'l [T]) -> (Vec<&'l T>, Vec<&'l T>) {
    let mut removed: Vec<&T> = old.iter().collect();
    let mut added = Vec::new();
    for item in new {
        match removed.iter().position(|other| *other == item) {
            Some(same) => {
                removed.remove(same);
            }
            None => added.push(item),
        }
    }
    (removed, added)
}

fn blocks(ipv4: Option<impl fmt::Display>, ipv6: Option<impl fmt::Display>) -> String {
    let blocks = [ipv4.map(|block| block.to_string()), ipv6.map(|block| block.to_string())];
    blocks.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn count_rules(count: usize, direction: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {direction} rule{plural}")
}

fn field_change(field: &str, old: &str, new: &str) -> Option<String> {
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
