//! Updating one security group's rules or one prefix list's entries, without a network file.

use std::fmt::Display;

use crate::{
    Cidr, MAX_PREFIX_LIST_ENTRIES, MAX_RULES, PrefixList, PrefixListId, Rule, RuleSpec, SecurityGroup,
    SecurityGroupId, Vpc,
};

use super::change::{Change, difference};
use super::peers::RuleContext;
use super::{ApplyError, Networks, Refusal};

/// How a list is to change: first all is taken away, if so wanted, then what is named, and then what is new is added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListUpdate<T> {
    /// Whether to take away all there is.
    pub clear: bool,
    /// What to take away; each must be there.
    pub remove: Vec<T>,
    /// What to add, unless it is there.
    pub add: Vec<T>,
}

impl<T> Default for ListUpdate<T> {
    fn default() -> Self {
        Self { clear: false, remove: Vec::new(), add: Vec::new() }
    }
}

impl Networks {
    /// The networks with these changes to a group's rules, and what that changes.
    ///
    /// # Errors
    /// All that is refused: there is no such group, a rule to remove isn't there, a peer is not of the group's VPC,
    /// there would be more than [`MAX_RULES`] in a direction.
    pub fn update_security_group(
        &self,
        id: SecurityGroupId,
        ingress: &ListUpdate<RuleSpec>,
        egress: &ListUpdate<RuleSpec>,
    ) -> Result<(Self, Vec<Change>), ApplyError> {
        let unknown = || Refusal::Unknown { kind: "security group", id: id.to_string() };
        let (vpc, old) = self.security_group_by_id(id).ok_or_else(|| ApplyError::from(unknown()))?;
        let object = &format!("security-group {} of vpc {}", old.name, vpc.name);
        let others: Vec<Vpc> = self.vpcs.iter().filter(|other| other.id != vpc.id).cloned().collect();
        let mut refusals = Vec::new();
        let mut rules = |direction, kinds, old: &[Rule], update: &ListUpdate<RuleSpec>| {
            let context = RuleContext { object, direction, vpc, others: &others };
            let mut resolve = |specs: &[RuleSpec]| -> Vec<Rule> {
                let resolved = specs.iter().map(|spec| context.resolve(spec));
                resolved.filter_map(|rule| rule.map_err(|refusal| refusals.push(refusal)).ok()).collect()
            };
            let (remove, add) = (resolve(&update.remove), resolve(&update.add));
            let update = ListUpdate { clear: update.clear, remove, add };
            let list = List { object, kinds, most: MAX_RULES };
            list.updated(old, &update, |rule| vpc.rule_text(rule), &mut refusals)
        };
        let new = SecurityGroup {
            ingress: rules("ingress", ["ingress rule", "ingress rules"], &old.ingress, ingress),
            egress: rules("egress", ["egress rule", "egress rules"], &old.egress, egress),
            ..old.clone()
        };
        ApplyError::unless_empty(refusals)?;
        let changes = Change::rules(vpc, old, &new);
        Ok((self.with(vpc, |vpc| replace(&mut vpc.security_groups, old, new)), changes))
    }

    /// The networks with these changes to a prefix list's entries, and what that changes.
    ///
    /// # Errors
    /// All that is refused: there is no such list, an entry to remove isn't there, there would be more than
    /// [`MAX_PREFIX_LIST_ENTRIES`].
    pub fn update_prefix_list(
        &self,
        id: PrefixListId,
        entries: &ListUpdate<Cidr>,
    ) -> Result<(Self, Vec<Change>), ApplyError> {
        let unknown = || Refusal::Unknown { kind: "prefix list", id: id.to_string() };
        let (vpc, old) = self.prefix_list_by_id(id).ok_or_else(|| ApplyError::from(unknown()))?;
        let object = &format!("prefix-list {} of vpc {}", old.name, vpc.name);
        let list = List { object, kinds: ["entry", "entries"], most: MAX_PREFIX_LIST_ENTRIES };
        let mut refusals = Vec::new();
        let entries = list.updated(&old.entries, entries, Cidr::to_string, &mut refusals);
        ApplyError::unless_empty(refusals)?;
        let new = PrefixList { entries, ..old.clone() };
        let changes = Change::entries(vpc, old, &new);
        Ok((self.with(vpc, |vpc| replace(&mut vpc.prefix_lists, old, new)), changes))
    }

    /// The networks with one VPC changed.
    fn with(&self, vpc: &Vpc, change: impl FnOnce(&mut Vpc)) -> Self {
        let mut networks = self.clone();
        if let Some(slot) = networks.vpcs.iter_mut().find(|other| other.id == vpc.id) {
            change(slot);
        }
        networks
    }
}

fn replace<T: PartialEq>(all: &mut [T], old: &T, new: T) {
    if let Some(slot) = all.iter_mut().find(|item| *item == old) {
        *slot = new;
    }
}

/// A list that is updated: whose it is, what is in it, and how much of it.
struct List<'a> {
    object: &'a str,
    /// What one and what several of it are called.
    kinds: [&'static str; 2],
    most: usize,
}

impl List<'_> {
    fn updated<T: PartialEq + Clone, D: Display>(
        &self,
        old: &[T],
        update: &ListUpdate<T>,
        text: impl Fn(&T) -> D,
        refusals: &mut Vec<Refusal>,
    ) -> Vec<T> {
        let [one, several] = self.kinds;
        let mut new = if update.clear { Vec::new() } else { old.to_vec() };
        for item in &update.remove {
            if !new.contains(item) {
                let (object, wanted) = (self.object.to_owned(), text(item).to_string());
                refusals.push(Refusal::Absent { object, kind: one, wanted });
            }
            new.retain(|other| other != item);
        }
        for item in &update.add {
            if !new.contains(item) {
                new.push(item.clone());
            }
        }
        let (most, count) = (self.most, new.len());
        if count > most {
            refusals.push(Refusal::TooMany { object: self.object.to_owned(), kind: several, most, count });
        }
        in_order(old, new)
    }
}

/// The new list; the old one if nothing but the order, which means nothing, is another.
pub(super) fn in_order<T: PartialEq + Clone>(old: &[T], new: Vec<T>) -> Vec<T> {
    let (removed, added) = difference(old, &new);
    if removed.is_empty() && added.is_empty() { old.to_vec() } else { new }
}
