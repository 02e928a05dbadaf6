//! Applying what a network file declares of prefix lists, security groups and rules.

use crate::{
    DEFAULT_SECURITY_GROUP, Name, PrefixList, PrefixListId, Rule, RuleSpec, SecurityGroup, SecurityGroupId,
    SecurityGroupSpec, Vpc, VpcSpec,
};

use super::Change;
use super::apply::{Application, unused};
use super::change::Action;
use super::peers::RuleContext;
use super::update::in_order;

impl Application {
    pub(super) fn prefix_lists(&mut self, vpc: &mut Vpc, spec: &VpcSpec) {
        for declared in &spec.prefix_lists {
            let position = vpc.prefix_lists.iter().position(|known| known.name == declared.name);
            if let Some(old) = position.and_then(|position| vpc.prefix_lists.get(position)) {
                let entries = in_order(&old.entries, declared.entries.clone());
                let new = PrefixList { entries, ..old.clone() };
                self.changes.extend(Change::entries(vpc, old, &new));
                put(&mut vpc.prefix_lists, position, new);
                continue;
            }
            let taken =
                |id| vpc.prefix_list_by_id(id).is_some() || self.networks.prefix_list_by_id(id).is_some();
            let list = PrefixList {
                id: unused(PrefixListId::random, taken),
                name: declared.name.clone(),
                entries: declared.entries.clone(),
            };
            self.changes.push(Change::prefix_list(Action::Added, vpc, &list));
            vpc.prefix_lists.push(list);
        }
    }

    pub(super) fn security_groups(&mut self, vpc: &mut Vpc, spec: &VpcSpec) {
        let mut declared = spec.security_groups.clone();
        let has_default = |name: &Name| name.as_str() == DEFAULT_SECURITY_GROUP;
        if !declared.iter().any(|group| has_default(&group.name))
            && !vpc.security_groups.iter().any(|group| has_default(&group.name))
        {
            declared.insert(0, SecurityGroupSpec::default_group());
        }
        // All groups first, rules after: rules refer to groups in any order.
        let mut added = Vec::new();
        for group in &declared {
            if vpc.security_groups.iter().all(|known| known.name != group.name) {
                let id = self.unused_group_id(vpc);
                added.push(id);
                vpc.security_groups.push(SecurityGroup {
                    id,
                    name: group.name.clone(),
                    ingress: Vec::new(),
                    egress: Vec::new(),
                });
            }
        }
        for group in &declared {
            let position = vpc.security_groups.iter().position(|known| known.name == group.name);
            let Some(old) = position.and_then(|position| vpc.security_groups.get(position)) else {
                continue;
            };
            let ingress = self.rules(vpc, &group.name, "ingress", &group.ingress);
            let egress = self.rules(vpc, &group.name, "egress", &group.egress);
            let new = SecurityGroup {
                ingress: in_order(&old.ingress, ingress),
                egress: in_order(&old.egress, egress),
                ..old.clone()
            };
            if added.contains(&new.id) {
                self.changes.push(Change::security_group(Action::Added, vpc, &new));
            } else {
                self.changes.extend(Change::rules(vpc, old, &new));
            }
            put(&mut vpc.security_groups, position, new);
        }
    }

    fn unused_group_id(&self, vpc: &Vpc) -> SecurityGroupId {
        unused(SecurityGroupId::random, |id| {
            vpc.security_group_by_id(id).is_some() || self.networks.security_group_by_id(id).is_some()
        })
    }

    /// The rules with their peers by identifier; those that are refused are left out.
    fn rules(&mut self, vpc: &Vpc, group: &Name, direction: &'static str, specs: &[RuleSpec]) -> Vec<Rule> {
        let object = &format!("security-group {group} of vpc {}", vpc.name);
        let context = RuleContext { object, direction, vpc, others: self.networks.vpcs() };
        let mut rules = Vec::with_capacity(specs.len());
        for spec in specs {
            match context.resolve(spec) {
                Ok(rule) => rules.push(rule),
                Err(refusal) => self.refusals.push(refusal),
            }
        }
        rules
    }
}

fn put<T>(all: &mut [T], position: Option<usize>, item: T) {
    if let Some(slot) = position.and_then(|position| all.get_mut(position)) {
        *slot = item;
    }
}
