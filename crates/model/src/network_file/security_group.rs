//! `[[vpc.security_group]]` and its rules.

use std::str::FromStr;

use crate::{DEFAULT_SECURITY_GROUP, Ipv4Cidr, Ipv6Cidr, MAX_RULES, ModelError, Name, PortRange, Protocol};

use super::problem::{Place, Placed, Report};
use super::spec::{PeerSpec, RuleSpec, SecurityGroupSpec};
use super::table::Table;

const FIELDS: [&str; 3] = ["name", "ingress", "egress"];
const RULE_FIELDS: [&str; 4] = ["protocol", "ports", "cidr", "security_group"];

/// What could be read of a security group.
pub(super) struct SecurityGroupDraft {
    pub(super) name: Option<Placed<Name>>,
    ingress: Vec<RuleDraft>,
    /// None where the file has no egress field at all.
    egress: Option<Vec<RuleDraft>>,
}

/// What could be read of a rule.
struct RuleDraft {
    protocol: Option<Protocol>,
    ports: Option<PortRange>,
    peer: Option<Placed<PeerSpec>>,
}

impl SecurityGroupDraft {
    /// The whole, if no required field is missing or refused.
    pub(super) fn spec(self) -> Option<SecurityGroupSpec> {
        let specs = |rules: Vec<RuleDraft>| rules.into_iter().filter_map(RuleDraft::spec).collect();
        Some(SecurityGroupSpec {
            name: self.name?.value,
            ingress: specs(self.ingress),
            egress: self.egress.map_or_else(SecurityGroupSpec::everything_out, specs),
        })
    }
}

impl RuleDraft {
    fn spec(self) -> Option<RuleSpec> {
        Some(RuleSpec { protocol: self.protocol?, ports: self.ports, peer: self.peer?.value })
    }
}

pub(super) fn read(table: &Table<'_>, report: &mut Report<'_>) -> SecurityGroupDraft {
    table.refuse_unknown(&FIELDS, report);
    SecurityGroupDraft {
        name: table.require("name", "the group's name, unique in its VPC, as `name = \"web\"`", report),
        ingress: read_rules(table, "ingress", report),
        egress: table.has("egress").then(|| read_rules(table, "egress", report)),
    }
}

/// Refuses rules whose peer is a group that the VPC doesn't have.
pub(super) fn check_references(groups: &[SecurityGroupDraft], report: &mut Report<'_>) {
    let mut known: Vec<&str> =
        groups.iter().filter_map(|group| group.name.as_ref()).map(|name| name.value.as_str()).collect();
    if !known.contains(&DEFAULT_SECURITY_GROUP) {
        known.push(DEFAULT_SECURITY_GROUP);
    }
    for rule in groups.iter().flat_map(|group| group.ingress.iter().chain(group.egress.iter().flatten())) {
        let Some(Placed { value: PeerSpec::SecurityGroup(name), place }) = &rule.peer else {
            continue;
        };
        if !known.contains(&name.as_str()) {
            let known = known.join(", ");
            report.add(place, format!("this file's VPC has no group `{name}`; it has {known}"));
        }
    }
}

fn read_rules(table: &Table<'_>, direction: &str, report: &mut Report<'_>) -> Vec<RuleDraft> {
    let rules = table.tables(direction, report);
    if let Some(first_over) = rules.get(MAX_RULES) {
        let count = rules.len();
        let reason = format!("a group has at most {MAX_RULES} rules a direction, not {count}");
        report.add(&first_over.place, reason);
    }
    rules.iter().map(|rule| read_rule(rule, report)).collect()
}

fn read_rule(table: &Table<'_>, report: &mut Report<'_>) -> RuleDraft {
    table.refuse_unknown(&RULE_FIELDS, report);
    let protocol = if table.has("protocol") {
        table.parse_number("protocol", report).map(|found| found.value)
    } else {
        Some(Protocol::All)
    };
    let ports = table.parse_number::<PortRange>("ports", report);
    if let (Some(protocol), Some(ports)) = (protocol, &ports)
        && !protocol.has_ports()
    {
        let reason = format!("only tcp and udp have ports, and the rule's protocol is {protocol}");
        report.add(&ports.place, reason);
    }
    RuleDraft { protocol, ports: ports.map(|found| found.value), peer: read_peer(table, report) }
}

fn read_peer(table: &Table<'_>, report: &mut Report<'_>) -> Option<Placed<PeerSpec>> {
    let cidr = table.parse::<PeerBlock>("cidr", report);
    let group = table.parse::<Name>("security_group", report);
    match (table.has("cidr"), table.has("security_group")) {
        (true, true) => {
            report.add(&table.place, "a rule has one peer: cidr or security_group, not both");
            None
        }
        (false, false) => {
            report.add(&table.place, "a rule needs a peer: cidr or security_group");
            None
        }
        _ => {
            let from_block = |found: Placed<PeerBlock>| (found.value.0, found.place);
            let from_group = |found: Placed<Name>| (PeerSpec::SecurityGroup(found.value), found.place);
            let (value, place): (PeerSpec, Place) = cidr.map(from_block).or_else(|| group.map(from_group))?;
            Some(Placed { value, place })
        }
    }
}

/// A peer written as a block of either family.
struct PeerBlock(PeerSpec);

impl FromStr for PeerBlock {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        if text.contains(':') {
            return Ok(Self(PeerSpec::Ipv6(text.parse::<Ipv6Cidr>()?)));
        }
        Ok(Self(PeerSpec::Ipv4(text.parse::<Ipv4Cidr>()?)))
    }
}
