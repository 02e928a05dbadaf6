//! `[[vpc.security_group]]` and its rules.

use crate::icmp::{parse_icmp_code, parse_icmp_type};
use crate::rule_spec::never_matches;
use crate::{
    Cidr, DEFAULT_SECURITY_GROUP, IcmpSelector, MAX_RULES, Name, PeerSpec, PortRange, PrefixListId, Protocol,
    RuleSpec, SecurityGroupId,
};

use super::prefix_list::PrefixListDraft;
use super::problem::{Placed, Report};
use super::spec::SecurityGroupSpec;
use super::table::Table;

const FIELDS: [&str; 3] = ["name", "ingress", "egress"];
const PEER_FIELDS: [&str; 3] = ["cidr", "security_group", "prefix_list"];
const RULE_FIELDS: [&str; 7] =
    ["protocol", "ports", "icmp_type", "icmp_code", "cidr", "security_group", "prefix_list"];

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
    icmp: Option<IcmpSelector>,
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
        let Self { protocol, ports, icmp, peer } = self;
        Some(RuleSpec { protocol: protocol?, ports, icmp, peer: peer?.value })
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

/// Refuses rules whose peer is a group or a prefix list that the file's VPC doesn't have. Whether there is one of an
/// identifier is told when the file is applied.
pub(super) fn check_references(
    groups: &[SecurityGroupDraft],
    prefix_lists: &[PrefixListDraft],
    report: &mut Report<'_>,
) {
    let mut known_groups: Vec<&str> = groups.iter().filter_map(|group| text(group.name.as_ref())).collect();
    if !known_groups.contains(&DEFAULT_SECURITY_GROUP) {
        known_groups.push(DEFAULT_SECURITY_GROUP);
    }
    let known_lists: Vec<&str> = prefix_lists.iter().filter_map(|list| text(list.name.as_ref())).collect();
    for rule in groups.iter().flat_map(|group| group.ingress.iter().chain(group.egress.iter().flatten())) {
        let Some(Placed { value: peer, place }) = &rule.peer else { continue };
        let (kind, name, known, is_id) = match peer {
            PeerSpec::Cidr(_) => continue,
            PeerSpec::SecurityGroup(name) => {
                ("group", name, &known_groups, name.as_str().parse::<SecurityGroupId>().is_ok())
            }
            PeerSpec::PrefixList(name) => {
                ("prefix list", name, &known_lists, name.as_str().parse::<PrefixListId>().is_ok())
            }
        };
        if !is_id && !known.contains(&name.as_str()) {
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            report.add(place, format!("this file's VPC has no {kind} `{name}`; it has {known}"));
        }
    }
}

fn text(name: Option<&Placed<Name>>) -> Option<&str> {
    name.map(|name| name.value.as_str())
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
        let reason = format!("ports are for tcp and udp, and the rule's protocol is {protocol}");
        report.add(&ports.place, reason);
    }
    let icmp = read_icmp(table, protocol, report);
    let peer = read_peer(table, report);
    if let (Some(protocol), Some(Placed { value: PeerSpec::Cidr(cidr), place })) = (protocol, &peer)
        && let Some(reason) = never_matches(protocol, *cidr)
    {
        report.add(place, reason);
    }
    RuleDraft { protocol, ports: ports.map(|found| found.value), icmp, peer }
}

fn read_icmp(table: &Table<'_>, protocol: Option<Protocol>, report: &mut Report<'_>) -> Option<IcmpSelector> {
    // Of a protocol that was refused, nobody knows which types it has.
    let protocol = protocol?;
    if !protocol.is_icmp() {
        for place in ["icmp_type", "icmp_code"].into_iter().filter_map(|field| table.place(field)) {
            let reason =
                format!("types and codes are for icmp and icmpv6, and the rule's protocol is {protocol}");
            report.add(&place, reason);
        }
        return None;
    }
    if let (false, Some(place)) = (table.has("icmp_type"), table.place("icmp_code")) {
        report.add(&place, "a code is of a type: add icmp_type");
    }
    let parse_type = |text: &str| parse_icmp_type(protocol, text);
    let icmp_type = table.parse_number_with("icmp_type", parse_type, report);
    let code = table.parse_number_with("icmp_code", parse_icmp_code, report);
    Some(IcmpSelector { icmp_type: icmp_type?.value, code: code.map(|found| found.value) })
}

fn read_peer(table: &Table<'_>, report: &mut Report<'_>) -> Option<Placed<PeerSpec>> {
    let cidr = table.parse::<Cidr>("cidr", report).map(|found| found.map(PeerSpec::Cidr));
    let group = table.parse::<Name>("security_group", report).map(|found| found.map(PeerSpec::SecurityGroup));
    let list = table.parse::<Name>("prefix_list", report).map(|found| found.map(PeerSpec::PrefixList));
    let fields = "cidr, security_group or prefix_list";
    match PEER_FIELDS.iter().filter(|field| table.has(field)).count() {
        0 => report.add(&table.place, format!("a rule needs a peer: {fields}")),
        1 => return cidr.or(group).or(list),
        _ => report.add(&table.place, format!("a rule has one peer: {fields}, and only one of them")),
    }
    None
}
