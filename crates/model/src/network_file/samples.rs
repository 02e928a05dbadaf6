//! Random valid network files, for property tests: a spec, and the text that declares it.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails with a location")]

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::collection::{hash_set, vec};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::{NetworkSpec, PrefixListSpec, SecurityGroupSpec, SubnetSpec, VpcSpec};
use crate::{Cidr, IcmpSelector, Ipv4Cidr, Ipv6Cidr, Name, PeerSpec, PortRange, Protocol, RuleSpec, Uplink};

/// A name that doesn't depend on chance, so that two specs share some.
fn name(text: &str, number: usize) -> Name {
    format!("{text}{number}").parse().unwrap()
}

/// A block of either family.
fn cidr() -> impl Strategy<Value = Cidr> {
    let ipv4 = (any::<u32>(), 0..=32u8).prop_map(|(bits, prefix)| {
        let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
        Cidr::Ipv4(Ipv4Cidr::new(Ipv4Addr::from(bits & mask), prefix).unwrap())
    });
    let ipv6 = (any::<u128>(), 0..=128u8).prop_map(|(bits, prefix)| {
        let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
        Cidr::Ipv6(Ipv6Cidr::new(Ipv6Addr::from(bits & mask), prefix).unwrap())
    });
    prop_oneof![ipv4, ipv6]
}

/// Some names, and an identifier of either kind.
pub(crate) fn names() -> Vec<Name> {
    ["web", "db-1", "a.b_c", "sg-0123456789abcdef0", "pl-0123456789abcdef0"]
        .map(|name| name.parse().unwrap())
        .to_vec()
}

/// A valid rule whose peer is a block, one of the groups or one of the lists.
pub(crate) fn rule(groups: Vec<Name>, lists: Vec<Name>) -> impl Strategy<Value = RuleSpec> {
    let mut peers = vec![cidr().prop_map(PeerSpec::Cidr).boxed()];
    if !groups.is_empty() {
        peers.push(select(groups).prop_map(PeerSpec::SecurityGroup).boxed());
    }
    if !lists.is_empty() {
        peers.push(select(lists).prop_map(PeerSpec::PrefixList).boxed());
    }
    let peer = select(peers).prop_flat_map(|peer| peer);
    let ports = (any::<u16>(), any::<u16>()).prop_map(|(one, other)| {
        let text = format!("{}-{}", one.min(other), one.max(other));
        text.parse::<PortRange>().unwrap()
    });
    let icmp =
        (any::<u8>(), any::<Option<u8>>()).prop_map(|(icmp_type, code)| IcmpSelector { icmp_type, code });
    let protocol = prop_oneof![
        Just(Protocol::All),
        Just(Protocol::TCP),
        Just(Protocol::UDP),
        Just(Protocol::ICMP),
        Just(Protocol::ICMPV6),
        any::<u8>().prop_map(Protocol::Number),
    ];
    let selectors = (proptest::option::of(ports), proptest::option::of(icmp));
    (protocol, selectors, peer).prop_map(|(protocol, (ports, icmp), peer)| {
        // Each family has an ICMP of its own.
        let protocol = match (protocol, &peer) {
            (Protocol::ICMP, PeerSpec::Cidr(Cidr::Ipv6(_))) => Protocol::ICMPV6,
            (Protocol::ICMPV6, PeerSpec::Cidr(Cidr::Ipv4(_))) => Protocol::ICMP,
            (protocol, _) => protocol,
        };
        RuleSpec {
            protocol,
            ports: ports.filter(|_| protocol.has_ports()),
            icmp: icmp.filter(|_| protocol.is_icmp()),
            peer,
        }
    })
}

/// Pieces of rules' short forms: joined at random they come near enough to one to reach every check.
pub(crate) fn rule_piece() -> impl Strategy<Value = &'static str> {
    select(vec![
        "tcp",
        "udp",
        "icmp",
        "icmpv6",
        "all",
        "esp",
        "6",
        "-1",
        ":",
        ":",
        ":",
        "443",
        "80-90",
        "90-80",
        "8/0",
        "echo-request",
        "sg=",
        "pl=",
        "web",
        "10.0.0.0/8",
        "fd00::/8",
        "::/0",
        "53",
        "/",
    ])
}

fn prefix_lists() -> impl Strategy<Value = Vec<PrefixListSpec>> {
    let names = ["corporate", "partners"].map(|name| name.parse::<Name>().unwrap());
    subsequence(names.to_vec(), 0..=2).prop_flat_map(|names| {
        let list = |name: Name| {
            hash_set(cidr(), 0..4).prop_map(move |entries| PrefixListSpec {
                name: name.clone(),
                entries: entries.into_iter().collect(),
            })
        };
        names.into_iter().map(list).collect::<Vec<_>>()
    })
}

fn security_groups(lists: Vec<Name>) -> impl Strategy<Value = Vec<SecurityGroupSpec>> {
    let names = ["default", "web", "db", "cache"].map(|name| name.parse::<Name>().unwrap());
    subsequence(names.to_vec(), 0..=4).prop_flat_map(move |declared| {
        let mut known = declared.clone();
        known.push(Name::default_security_group());
        let rules = || vec(rule(known.clone(), lists.clone()), 0..4);
        let groups: Vec<_> = declared
            .into_iter()
            .map(|name| {
                (rules(), rules()).prop_map(move |(ingress, egress)| SecurityGroupSpec {
                    name: name.clone(),
                    ingress,
                    egress,
                })
            })
            .collect();
        groups
    })
}

/// The prefix lists of a VPC, and the groups whose rules refer to them.
fn policy() -> impl Strategy<Value = (Vec<PrefixListSpec>, Vec<SecurityGroupSpec>)> {
    prefix_lists().prop_flat_map(|lists| {
        let names = lists.iter().map(|list| list.name.clone()).collect();
        (Just(lists), security_groups(names))
    })
}

/// The subnet of this number: its blocks overlap no other's.
fn subnet(number: u8, zone: usize, families: Families) -> SubnetSpec {
    let ipv4 = Ipv4Cidr::new(Ipv4Addr::new(10, 0, number, 0), 24).unwrap();
    let ipv6 = Ipv6Cidr::new(Ipv6Addr::new(0xfd00, 0, 0, number.into(), 0, 0, 0, 0), 64).unwrap();
    SubnetSpec {
        name: name("subnet", number.into()),
        zone: name("zone", zone),
        ipv4_cidr: families.ipv4.then_some(ipv4),
        ipv6_cidr: families.ipv6.then_some(ipv6),
    }
}

#[derive(Debug, Clone, Copy)]
struct Families {
    ipv4: bool,
    ipv6: bool,
}

fn vpc(number: usize) -> impl Strategy<Value = VpcSpec> {
    // Mostly alike, so that a second spec is often an update that is not refused.
    let both = (true, true);
    let families = select(vec![both, both, both, (true, false), (false, true)]);
    let families = families.prop_map(|(ipv4, ipv6)| Families { ipv4, ipv6 });
    let subnets = subsequence((0..6u8).collect::<Vec<_>>(), 0..=6);
    let uplink = select(vec![Uplink::None, Uplink::Nat]);
    let dns_servers = subsequence(vec!["10.0.0.2", "fd00::2"], 0..=2);
    (families, subnets, select(vec![0, 0, 0, 0, 1]), uplink, dns_servers, policy()).prop_map(
        move |(families, subnets, zone, uplink, dns_servers, (prefix_lists, security_groups))| VpcSpec {
            name: name("vpc", number),
            ipv4_cidr: families.ipv4.then(|| "10.0.0.0/16".parse().unwrap()),
            ipv6_cidr: families.ipv6.then(|| "fd00::/56".parse().unwrap()),
            uplink,
            domain: "internal".parse().unwrap(),
            dns_servers: dns_servers.iter().map(|text| text.parse().unwrap()).collect(),
            subnets: subnets.into_iter().map(|number| subnet(number, zone, families)).collect(),
            prefix_lists,
            security_groups,
            flow_logs: Vec::new(),
        },
    )
}

/// A valid spec of up to three VPCs. Two of them share names, and often conflict.
pub(crate) fn spec() -> impl Strategy<Value = NetworkSpec> {
    subsequence(vec![0, 1, 2], 0..=3)
        .prop_flat_map(|numbers| numbers.into_iter().map(vpc).collect::<Vec<_>>())
        .prop_map(|vpcs| NetworkSpec { vpcs })
}

/// The file that declares the spec.
pub(crate) fn render(spec: &NetworkSpec) -> String {
    let mut text = String::new();
    for vpc in &spec.vpcs {
        writeln!(text, "[[vpc]]\nname = \"{}\"\nuplink = \"{}\"", vpc.name, vpc.uplink).unwrap();
        writeln!(text, "domain = \"{}\"", vpc.domain).unwrap();
        writeln!(text, "dns_servers = {:?}", texts(&vpc.dns_servers)).unwrap();
        render_blocks(&mut text, vpc.ipv4_cidr, vpc.ipv6_cidr);
        for subnet in &vpc.subnets {
            writeln!(text, "[[vpc.subnet]]\nname = \"{}\"\nzone = \"{}\"", subnet.name, subnet.zone).unwrap();
            render_blocks(&mut text, subnet.ipv4_cidr, subnet.ipv6_cidr);
        }
        for list in &vpc.prefix_lists {
            let (name, entries) = (&list.name, texts(&list.entries));
            writeln!(text, "[[vpc.prefix_list]]\nname = \"{name}\"\nentries = {entries:?}").unwrap();
        }
        for group in &vpc.security_groups {
            writeln!(text, "[[vpc.security_group]]\nname = \"{}\"", group.name).unwrap();
            render_rules(&mut text, "ingress", &group.ingress);
            render_rules(&mut text, "egress", &group.egress);
        }
    }
    text
}

fn texts(values: &[impl ToString]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

fn render_blocks(text: &mut String, ipv4: Option<Ipv4Cidr>, ipv6: Option<Ipv6Cidr>) {
    if let Some(cidr) = ipv4 {
        writeln!(text, "ipv4_cidr = \"{cidr}\"").unwrap();
    }
    if let Some(cidr) = ipv6 {
        writeln!(text, "ipv6_cidr = \"{cidr}\"").unwrap();
    }
}

fn render_rules(text: &mut String, direction: &str, rules: &[RuleSpec]) {
    writeln!(text, "{direction} = [").unwrap();
    for rule in rules {
        write!(text, "  {{ protocol = \"{}\"", rule.protocol).unwrap();
        if let Some(ports) = rule.ports {
            write!(text, ", ports = \"{ports}\"").unwrap();
        }
        if let Some(icmp) = rule.icmp {
            write!(text, ", icmp_type = {}", icmp.icmp_type).unwrap();
            icmp.code.map_or(Ok(()), |code| write!(text, ", icmp_code = {code}")).unwrap();
        }
        match &rule.peer {
            PeerSpec::Cidr(cidr) => write!(text, ", cidr = \"{cidr}\"").unwrap(),
            PeerSpec::SecurityGroup(name) => write!(text, ", security_group = \"{name}\"").unwrap(),
            PeerSpec::PrefixList(name) => write!(text, ", prefix_list = \"{name}\"").unwrap(),
        }
        writeln!(text, " }},").unwrap();
    }
    writeln!(text, "]").unwrap();
}
