//! Files that are read.

use super::parse;
use crate::{Name, NetworkSpec, PeerSpec, Protocol, RuleSpec, Uplink};

const VPC: &str = "[[vpc]]\nname = 'a'\nipv4_cidr = '10.0.0.0/16'\n";

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

#[test]
fn the_embedded_default_is_one_dual_stack_vpc_with_two_subnets() {
    let spec = NetworkSpec::embedded_default().unwrap();
    let [vpc] = spec.vpcs() else { panic!("{spec:?}") };
    assert_eq!(vpc.name.as_str(), "default");
    assert_eq!(vpc.ipv4_cidr.unwrap().to_string(), "172.31.0.0/16");
    assert_eq!(vpc.ipv6_cidr.unwrap().to_string(), "fd65:6e69:6400::/56");
    assert_eq!(vpc.uplink, Uplink::Nat);
    let subnets: Vec<String> = vpc
        .subnets
        .iter()
        .map(|subnet| {
            let (ipv4, ipv6) = (subnet.ipv4_cidr.unwrap(), subnet.ipv6_cidr.unwrap());
            format!("{} {} {ipv4} {ipv6}", subnet.name, subnet.zone)
        })
        .collect();
    assert_eq!(
        subnets,
        [
            "default-a local-a 172.31.0.0/20 fd65:6e69:6400::/64",
            "default-b local-b 172.31.16.0/20 fd65:6e69:6400:1::/64",
        ]
    );
}

#[test]
fn the_example_is_valid_and_uses_every_field() {
    let text = include_str!("../../../../../dist/network.example.toml");
    let spec = parse(text);
    assert!(spec.vpcs().len() > 1);
    for field in [
        "name",
        "ipv4_cidr",
        "ipv6_cidr",
        "uplink",
        "domain",
        "dns_servers",
        "zone",
        "protocol",
        "ports",
        "cidr",
        "security_group",
        "prefix_list",
        "entries",
        "icmp_type",
        "icmp_code",
    ] {
        assert!(text.lines().any(|line| line.starts_with(&format!("{field} = "))), "{field}");
    }
    for header in [
        "vpc",
        "vpc.subnet",
        "vpc.prefix_list",
        "vpc.security_group",
        "vpc.security_group.ingress",
        "vpc.security_group.egress",
    ] {
        assert!(text.contains(&format!("[[{header}]]")), "{header}");
    }
}

#[test]
fn an_empty_file_declares_nothing() {
    assert_eq!(parse(""), NetworkSpec::default());
    assert_eq!(parse("# nothing yet\r\n"), NetworkSpec::default());
}

#[test]
fn what_is_left_out_has_its_default() {
    let spec = parse(VPC);
    let [vpc] = spec.vpcs() else { panic!("{spec:?}") };
    assert_eq!(vpc.uplink, Uplink::None);
    assert_eq!(vpc.domain.as_str(), "internal");
    assert!(vpc.dns_servers.is_empty() && vpc.subnets.is_empty() && vpc.security_groups.is_empty());
}

#[test]
fn a_group_without_egress_lets_everything_out_and_an_empty_one_nothing() {
    let text = format!(
        "{VPC}[[vpc.security_group]]\nname = 'open'\n[[vpc.security_group]]\nname = 'shut'\negress = []\n"
    );
    let spec = parse(&text);
    let [open, shut] = &spec.vpcs()[0].security_groups[..] else { panic!("{spec:?}") };
    let anywhere: [RuleSpec; 2] = ["all:0.0.0.0/0", "all:::/0"].map(|text| text.parse().unwrap());
    assert_eq!(open.egress, anywhere);
    assert!(open.ingress.is_empty() && shut.ingress.is_empty() && shut.egress.is_empty());
}

#[test]
fn rules_take_numbers_and_texts_and_any_declared_group() {
    let text = format!(
        "{VPC}[[vpc.security_group]]\nname = 'web'\n\
         ingress = [{{protocol = 'tcp', ports = 443, cidr = '::/0'}}, {{protocol = 132, security_group = 'db'}},\n\
         {{protocol = 17, ports = '8000-8080', security_group = 'default'}}]\n\
         [[vpc.security_group]]\nname = 'db'\n"
    );
    let spec = parse(&text);
    let ingress = &spec.vpcs()[0].security_groups[0].ingress;
    assert_eq!(ingress[0].ports.unwrap().to_string(), "443");
    assert_eq!(ingress[1].protocol, Protocol::Number(132));
    assert_eq!(ingress[1].peer, PeerSpec::SecurityGroup(name("db")));
    assert_eq!(ingress[2].protocol, Protocol::UDP);
    assert_eq!(ingress[2].ports.unwrap().to_string(), "8000-8080");
    assert_eq!(ingress[2].peer, PeerSpec::SecurityGroup(name("default")));
}

#[test]
fn rules_name_icmp_messages_and_prefix_lists() {
    let text = format!(
        "{VPC}[[vpc.security_group]]\nname = 'web'\n\
         ingress = [{{protocol = 'icmp', icmp_type = 8, icmp_code = 0, cidr = '0.0.0.0/0'}},\n\
         {{protocol = 58, icmp_type = 'packet-too-big', prefix_list = 'corporate'}},\n\
         {{protocol = 'icmp', icmp_type = '0x08', cidr = '0.0.0.0/0'}}, {{protocol = 'icmp', prefix_list = 'none'}}]\n\
         [[vpc.prefix_list]]\nname = 'corporate'\nentries = ['10.0.0.0/8', 'fd00::/8', '10.1.0.0/16']\n\
         [[vpc.prefix_list]]\nname = 'none'\nentries = []\n"
    );
    let error = NetworkSpec::parse(&text, "network.toml").unwrap_err();
    assert_eq!(error.problems().len(), 1, "a text is decimal: {error}");
    let spec = parse(&text.replace("'0x08'", "0x08"));
    let [vpc] = spec.vpcs() else { panic!("{spec:?}") };
    let rules: Vec<String> = vpc.security_groups[0].ingress.iter().map(ToString::to_string).collect();
    assert_eq!(
        rules,
        ["icmp:8/0:0.0.0.0/0", "icmpv6:2:pl=corporate", "icmp:8:0.0.0.0/0", "icmp:all:pl=none"]
    );
    let entries: Vec<String> = vpc.prefix_lists[0].entries.iter().map(ToString::to_string).collect();
    assert_eq!(entries, ["10.0.0.0/8", "fd00::/8", "10.1.0.0/16"]);
    assert!(vpc.prefix_lists[1].entries.is_empty());
}

#[test]
fn peers_may_be_identifiers_which_only_applying_can_tell() {
    let text = format!(
        "{VPC}[[vpc.security_group]]\nname = 'web'\n\
         ingress = [{{security_group = 'sg-0123456789abcdef0'}}, {{prefix_list = 'pl-0123456789abcdef0'}}]\n"
    );
    let spec = parse(&text);
    let ingress = &spec.vpcs()[0].security_groups[0].ingress;
    assert_eq!(ingress[0].peer, PeerSpec::SecurityGroup(name("sg-0123456789abcdef0")));
    assert_eq!(ingress[1].peer, PeerSpec::PrefixList(name("pl-0123456789abcdef0")));
}

#[test]
fn vpcs_may_have_the_same_blocks_and_names_inside() {
    let subnet = "[[vpc.subnet]]\nname = 'a'\nzone = 'z'\nipv4_cidr = '10.0.0.0/24'\n";
    let spec = parse(&format!("{VPC}{subnet}{}{subnet}", VPC.replace("'a'", "'b'")));
    assert_eq!(spec.vpcs()[0].subnets, spec.vpcs()[1].subnets);
}
