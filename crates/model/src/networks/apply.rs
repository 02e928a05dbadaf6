//! Applying a network file: what it declares is added or updated, what it doesn't mention stays.

use crate::network_file::{Block, lines};
use crate::{
    DEFAULT_SECURITY_GROUP, Name, NetworkSpec, Peer, PeerSpec, Rule, RuleSpec, SecurityGroup,
    SecurityGroupId, SecurityGroupSpec, Subnet, SubnetId, SubnetSpec, Vpc, VpcId, VpcSpec,
};

use super::change::{Action, text};
use super::{Change, Networks};

/// A network file can't be applied to the networks there are. Shown as its refusals, a line each.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.refusals))]
pub struct ApplyError {
    refusals: Vec<Refusal>,
}

impl ApplyError {
    /// All that is refused, in the file's order; at least one.
    pub fn refusals(&self) -> &[Refusal] {
        &self.refusals
    }
}

/// One thing that a network file asks for and can't have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A field that can't change once the thing exists.
    #[error(
        "{object}: {field} is {current} and can't become {wanted}: delete and recreate it, or use another name"
    )]
    Fixed {
        /// What exists: "subnet a of vpc default".
        object: String,
        /// The field, as network files call it.
        field: &'static str,
        /// What it is; "none" where it is absent.
        current: String,
        /// What the file has; "none" where it is absent.
        wanted: String,
    },
    /// A new subnet's block overlaps that of a subnet that the file doesn't mention.
    #[error("subnet {subnet} of vpc {vpc}: {cidr} overlaps {other_cidr} of the existing subnet {other}")]
    Overlap {
        /// The new subnet.
        subnet: Name,
        /// Its VPC.
        vpc: Name,
        /// Its block.
        cidr: String,
        /// The existing subnet.
        other: Name,
        /// Its block.
        other_cidr: String,
    },
    /// A rule's peer is a group that the VPC lacks.
    #[error("security-group {group} of vpc {vpc}: there is no group `{peer}` in the VPC")]
    UnknownPeer {
        /// The group of the rule.
        group: Name,
        /// Its VPC.
        vpc: Name,
        /// The group that is meant.
        peer: Name,
    },
}

impl Networks {
    /// The networks as they are once the file is applied, and what that changes; nothing if they already are so.
    ///
    /// Existing things are known by their names and keep their identifiers. What the file doesn't mention stays.
    ///
    /// # Errors
    /// All that is refused: another block or zone for what exists, an overlap with a subnet that the file doesn't
    /// mention.
    pub fn apply(&self, spec: &NetworkSpec) -> Result<(Self, Vec<Change>), ApplyError> {
        let mut application =
            Application { networks: self.clone(), changes: Vec::new(), refusals: Vec::new() };
        for vpc in spec.vpcs() {
            application.vpc(vpc);
        }
        if application.refusals.is_empty() {
            Ok((application.networks, application.changes))
        } else {
            Err(ApplyError { refusals: application.refusals })
        }
    }
}

/// An application under way.
struct Application {
    networks: Networks,
    changes: Vec<Change>,
    refusals: Vec<Refusal>,
}

impl Application {
    fn vpc(&mut self, spec: &VpcSpec) {
        let position = self.networks.vpcs.iter().position(|vpc| vpc.name == spec.name);
        let existing = position.map(|position| self.networks.vpcs.remove(position));
        let mut vpc = match existing {
            Some(vpc) => self.update_vpc(&vpc, spec),
            None => self.new_vpc(spec),
        };
        for subnet in &spec.subnets {
            self.subnet(&mut vpc, subnet);
        }
        self.security_groups(&mut vpc, spec);
        // Back to its place, so that an update doesn't reorder what users list.
        let position = position.unwrap_or(self.networks.vpcs.len());
        self.networks.vpcs.insert(position, vpc);
    }

    fn new_vpc(&mut self, spec: &VpcSpec) -> Vpc {
        let vpc = Vpc {
            id: unused(VpcId::random, |id| self.networks.vpc_by_id(id).is_some()),
            name: spec.name.clone(),
            ipv4_cidr: spec.ipv4_cidr,
            ipv6_cidr: spec.ipv6_cidr,
            uplink: spec.uplink,
            domain: spec.domain.clone(),
            dns_servers: spec.dns_servers.clone(),
            subnets: Vec::new(),
            security_groups: Vec::new(),
            prefix_lists: Vec::new(),
        };
        self.changes.push(Change::vpc(Action::Added, &vpc));
        vpc
    }

    fn update_vpc(&mut self, old: &Vpc, spec: &VpcSpec) -> Vpc {
        let object = format!("vpc {}", old.name);
        // A family may be added: nothing that exists is in it yet.
        if old.ipv4_cidr.is_some() {
            self.keep_block(&object, old.ipv4_cidr, spec.ipv4_cidr);
        }
        if old.ipv6_cidr.is_some() {
            self.keep_block(&object, old.ipv6_cidr, spec.ipv6_cidr);
        }
        let new = Vpc {
            ipv4_cidr: spec.ipv4_cidr,
            ipv6_cidr: spec.ipv6_cidr,
            uplink: spec.uplink,
            domain: spec.domain.clone(),
            dns_servers: spec.dns_servers.clone(),
            ..old.clone()
        };
        self.changes.extend(Change::vpc_update(old, &new));
        new
    }

    fn subnet(&mut self, vpc: &mut Vpc, spec: &SubnetSpec) {
        let existing = vpc.subnets.iter().find(|subnet| subnet.name == spec.name);
        if let Some(subnet) = existing {
            let object = format!("subnet {} of vpc {}", subnet.name, vpc.name);
            self.keep_block(&object, subnet.ipv4_cidr, spec.ipv4_cidr);
            self.keep_block(&object, subnet.ipv6_cidr, spec.ipv6_cidr);
            if subnet.zone != spec.zone {
                let (current, wanted) = (subnet.zone.to_string(), spec.zone.to_string());
                self.refuse_change(&object, "zone", current, wanted);
            }
            return;
        }
        for other in &vpc.subnets {
            self.refuse_overlap(&vpc.name, spec, spec.ipv4_cidr, other, other.ipv4_cidr);
            self.refuse_overlap(&vpc.name, spec, spec.ipv6_cidr, other, other.ipv6_cidr);
        }
        let taken = |id| {
            let here = vpc.subnets.iter().any(|subnet| subnet.id == id);
            here || self.networks.subnet_by_id(id).is_some()
        };
        let subnet = Subnet {
            id: unused(SubnetId::random, taken),
            name: spec.name.clone(),
            zone: spec.zone.clone(),
            ipv4_cidr: spec.ipv4_cidr,
            ipv6_cidr: spec.ipv6_cidr,
        };
        self.changes.push(Change::subnet(Action::Added, vpc, &subnet));
        vpc.subnets.push(subnet);
    }

    fn security_groups(&mut self, vpc: &mut Vpc, spec: &VpcSpec) {
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
            let ingress = self.rules(vpc, group, &group.ingress);
            let egress = self.rules(vpc, group, &group.egress);
            let Some(position) = vpc.security_groups.iter().position(|known| known.name == group.name) else {
                continue;
            };
            let Some(old) = vpc.security_groups.get(position) else {
                continue;
            };
            let new = SecurityGroup { ingress, egress, ..old.clone() };
            if added.contains(&new.id) {
                self.changes.push(Change::security_group(Action::Added, vpc, &new));
            } else {
                self.changes.extend(Change::security_group_update(vpc, old, &new));
            }
            if let Some(slot) = vpc.security_groups.get_mut(position) {
                *slot = new;
            }
        }
    }

    fn unused_group_id(&self, vpc: &Vpc) -> SecurityGroupId {
        unused(SecurityGroupId::random, |id| {
            vpc.security_group_by_id(id).is_some() || self.networks.security_group_by_id(id).is_some()
        })
    }

    fn rules(&mut self, vpc: &Vpc, group: &SecurityGroupSpec, specs: &[RuleSpec]) -> Vec<Rule> {
        let mut rules = Vec::with_capacity(specs.len());
        for spec in specs {
            let peer = match &spec.peer {
                PeerSpec::Ipv4(cidr) => Peer::Ipv4(*cidr),
                PeerSpec::Ipv6(cidr) => Peer::Ipv6(*cidr),
                PeerSpec::SecurityGroup(name) => {
                    let Some(peer) = vpc.security_groups.iter().find(|known| known.name == *name) else {
                        self.refusals.push(Refusal::UnknownPeer {
                            group: group.name.clone(),
                            vpc: vpc.name.clone(),
                            peer: name.clone(),
                        });
                        continue;
                    };
                    Peer::SecurityGroup(peer.id)
                }
            };
            rules.push(Rule { protocol: spec.protocol, ports: spec.ports, icmp: None, peer });
        }
        rules
    }

    fn keep_block<B: Block>(&mut self, object: &str, current: Option<B>, wanted: Option<B>) {
        if current != wanted {
            self.refuse_change(object, B::FIELD, text(current), text(wanted));
        }
    }

    fn refuse_change(&mut self, object: &str, field: &'static str, current: String, wanted: String) {
        self.refusals.push(Refusal::Fixed { object: object.to_owned(), field, current, wanted });
    }

    fn refuse_overlap<B: Block>(
        &mut self,
        vpc: &Name,
        spec: &SubnetSpec,
        cidr: Option<B>,
        other: &Subnet,
        other_cidr: Option<B>,
    ) {
        if let (Some(cidr), Some(other_cidr)) = (cidr, other_cidr)
            && cidr.overlaps(other_cidr)
        {
            self.refusals.push(Refusal::Overlap {
                subnet: spec.name.clone(),
                vpc: vpc.clone(),
                cidr: cidr.to_string(),
                other: other.name.clone(),
                other_cidr: other_cidr.to_string(),
            });
        }
    }
}

/// An identifier that isn't taken.
fn unused<Id: Copy>(random: fn() -> Id, taken: impl Fn(Id) -> bool) -> Id {
    loop {
        let id = random();
        if !taken(id) {
            return id;
        }
    }
}
