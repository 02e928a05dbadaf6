//! Applying a network file: what it declares is added or updated, what it doesn't mention stays.

use crate::network_file::Block;
use crate::{Name, NetworkSpec, Subnet, SubnetId, SubnetSpec, Vpc, VpcId, VpcSpec};

use super::change::{Action, text};
use super::{ApplyError, Change, Networks, Refusal};

impl Networks {
    /// The networks as they are once the file is applied, and what that changes; nothing if they already are so.
    ///
    /// Existing things are known by their names and keep their identifiers. What the file doesn't mention stays.
    ///
    /// # Errors
    /// All that is refused: another block or zone for what exists, an overlap with a subnet that the file doesn't
    /// mention, a rule whose peer is not of its VPC.
    pub fn apply(&self, spec: &NetworkSpec) -> Result<(Self, Vec<Change>), ApplyError> {
        let mut application =
            Application { networks: self.clone(), changes: Vec::new(), refusals: Vec::new() };
        for vpc in spec.vpcs() {
            application.vpc(vpc);
        }
        ApplyError::unless_empty(application.refusals)?;
        Ok((application.networks, application.changes))
    }
}

/// An application under way.
pub(super) struct Application {
    /// The networks so far, without the VPC that is being applied.
    pub(super) networks: Networks,
    pub(super) changes: Vec<Change>,
    pub(super) refusals: Vec<Refusal>,
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
        self.prefix_lists(&mut vpc, spec);
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
pub(super) fn unused<Id: Copy>(random: fn() -> Id, taken: impl Fn(Id) -> bool) -> Id {
    loop {
        let id = random();
        if !taken(id) {
            return id;
        }
    }
}
