//! Limits, ends of ranges, and what is said of them.

use std::net::IpAddr;

use enid_abi::{Direction, Family, ListKey, MAX_RANGES, Policies as _, PolicyRule, PrefixRanges, open_bit};
use enid_model::{Cidr, Peer, PortRange, Protocol, Rule};

use super::{block, group, list, list_id, rule};
use crate::error::DatapathError;
use crate::policy::Policy;
use crate::policy::compile::{address_of, compile_group, compile_list, family_of};
use crate::policy::id::MapId as _;

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn compiled(blocks: &[&str], family: Family) -> Box<PrefixRanges> {
    let blocks: Vec<Cidr> = blocks.iter().map(|text| text.parse().unwrap()).collect();
    Box::new(compile_list(&list(1, blocks), family).unwrap())
}

#[track_caller]
fn assert_contains(ranges: &PrefixRanges, addresses: &[(&str, bool)]) {
    for (text, expected) in addresses {
        assert_eq!(ranges.contains(address_of(address(text))), *expected, "{text}");
    }
}

#[test]
fn blocks_that_touch_or_overlap_become_one_range() {
    let ranges = compiled(&["10.0.1.0/24", "10.0.0.0/24", "10.0.0.128/25", "10.0.3.0/24"], Family::Ipv4);
    assert_eq!(ranges.count, 2);
    assert_contains(
        &ranges,
        &[
            ("9.255.255.255", false),
            ("10.0.0.0", true),
            ("10.0.0.255", true),
            ("10.0.1.0", true),
            ("10.0.1.255", true),
            ("10.0.2.0", false),
            ("10.0.2.255", false),
            ("10.0.3.0", true),
            ("10.0.3.255", true),
            ("10.0.4.0", false),
        ],
    );
}

#[test]
fn the_ends_of_both_families_are_in_everything() {
    let blocks = ["0.0.0.0/0", "255.255.255.255/32", "::/0", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"];
    let (ipv4, ipv6) = (compiled(&blocks, Family::Ipv4), compiled(&blocks, Family::Ipv6));
    assert_eq!((ipv4.count, ipv6.count), (1, 1));
    assert_contains(&ipv4, &[("0.0.0.0", true), ("255.255.255.255", true)]);
    assert_contains(&ipv6, &[("::", true), ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", true)]);
}

#[test]
fn single_addresses_at_the_ends_are_found_and_their_neighbours_not() {
    let blocks =
        ["0.0.0.0/32", "255.255.255.255/32", "::/128", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"];
    assert_contains(
        &compiled(&blocks, Family::Ipv4),
        &[("0.0.0.0", true), ("0.0.0.1", false), ("255.255.255.254", false), ("255.255.255.255", true)],
    );
    assert_contains(
        &compiled(&blocks, Family::Ipv6),
        &[
            ("::", true),
            ("::1", false),
            ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe", false),
            ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", true),
        ],
    );
}

#[test]
fn an_empty_list_has_nothing() {
    let ranges = compiled(&[], Family::Ipv4);
    assert_eq!(ranges.count, 0);
    assert_contains(&ranges, &[("0.0.0.0", false), ("10.0.0.1", false), ("255.255.255.255", false)]);
}

#[test]
fn each_of_a_thousand_entries_is_found_wherever_the_search_begins() {
    for count in [1, 2, 3, 511, 512, 513, 999, MAX_RANGES] {
        let text: Vec<String> = (0..count).map(|n| format!("10.{}.{}.1/32", n / 256, n % 256)).collect();
        let text: Vec<&str> = text.iter().map(String::as_str).collect();
        let ranges = compiled(&text, Family::Ipv4);
        assert_eq!(ranges.count, count as u64);
        for n in 0..count {
            let near = [0, 1, 2].map(|last| address(&format!("10.{}.{}.{last}", n / 256, n % 256)));
            assert_eq!(near.map(|address| ranges.contains(address_of(address))), [false, true, false], "{n}");
        }
    }
}

#[test]
fn what_is_too_large_is_refused_and_named() {
    let entries = (0..=MAX_RANGES).map(|n| format!("10.{}.{}.1/32", n / 256, n % 256).parse().unwrap());
    let error = Policy::new().add_prefix_list(&list(9, entries.collect())).unwrap_err();
    assert_eq!(error.to_string(), "pl-00000000000000009 has 1001 blocks, and at most 1000 can be in force");
    let rules = vec![rule(Protocol::TCP, block("10.0.0.0/8")); 61];
    let error = compile_group(&group(9, rules.clone(), Vec::new())).unwrap_err();
    assert!(matches!(error, DatapathError::PolicySize { given: 61, most: 60, .. }), "{error}");
    assert!(compile_group(&group(9, rules[..60].to_vec(), rules[..60].to_vec())).is_ok());
}

#[test]
fn rules_for_everywhere_come_first_and_keep_their_number() {
    let written = vec![
        rule(Protocol::TCP, block("10.0.0.0/8")),
        rule(Protocol::UDP, block("::/0")),
        rule(Protocol::UDP, Peer::SecurityGroup(super::group_id(1))),
        rule(Protocol::TCP, block("0.0.0.0/0")),
    ];
    let policy = compile_group(&group(1, written, Vec::new())).unwrap();
    assert_eq!(policy.counts, [0, 4]);
    let [_, ingress] = policy.rules;
    assert_eq!(ingress[..4].iter().map(|rule| rule.index).collect::<Vec<_>>(), [1, 3, 0, 2]);
    assert_eq!(ingress.map(|rule| rule.is_everywhere())[..4], [true, true, false, false]);
}

#[test]
fn only_all_ports_to_everywhere_are_open() {
    let with_ports = |ports: &str, peer| Rule {
        ports: Some(ports.parse::<PortRange>().unwrap()),
        ..rule(Protocol::TCP, peer)
    };
    let open = |rule| compile_group(&group(1, vec![rule], Vec::new())).unwrap().open;
    let bit = |protocol, family: Family| open_bit(Direction::Ingress as u8, protocol, family as u8);
    assert_eq!(open(rule(Protocol::All, block("0.0.0.0/0"))), bit(6, Family::Ipv4) | bit(17, Family::Ipv4));
    assert_eq!(open(rule(Protocol::UDP, block("::/0"))), bit(17, Family::Ipv6));
    assert_eq!(open(with_ports("0-65535", block("::/0"))), bit(6, Family::Ipv6));
    for tracked in [
        with_ports("1-65535", block("::/0")),
        with_ports("0-65534", block("::/0")),
        rule(Protocol::TCP, block("0.0.0.0/1")),
        rule(Protocol::ICMP, block("0.0.0.0/0")),
        rule(Protocol::Number(47), block("0.0.0.0/0")),
        rule(Protocol::TCP, Peer::PrefixList(list_id(1))),
    ] {
        assert_eq!(open(tracked.clone()), 0, "{tracked:?}");
    }
    let egress = compile_group(&group(1, Vec::new(), vec![rule(Protocol::TCP, block("::/0"))])).unwrap();
    assert_eq!(egress.open, open_bit(Direction::Egress as u8, 6, Family::Ipv6 as u8));
}

#[test]
fn a_block_of_an_ipv4_rule_has_no_bits_beyond_its_mask() {
    for (text, kind) in
        [("0.0.0.0/0", 0), ("10.0.0.0/8", 0), ("10.0.0.1/32", 0), ("::/0", 1), ("fd00::/8", 1)]
    {
        let policy = compile_group(&group(1, vec![rule(Protocol::All, block(text))], Vec::new())).unwrap();
        let compiled: PolicyRule = policy.rules[Direction::Ingress as usize][0];
        assert_eq!(compiled.kind, kind);
        assert_eq!([0, 1].map(|half| compiled.peer[half] & !compiled.mask[half]), [0, 0], "{text}");
        assert_eq!(compiled.is_everywhere(), text.ends_with("/0"), "{text}");
    }
}

#[test]
fn a_list_has_a_part_in_each_family_that_it_has_entries_of() {
    let mut policy = Policy::new();
    policy.add_prefix_list(&list(1, vec!["fd00::/8".parse().unwrap()])).unwrap();
    let is_listed = |text: &str| {
        let address = address(text);
        let key = ListKey { list: list_id(1).object_id(), family: family_of(address) as u64 };
        policy.is_listed(&key, address_of(address))
    };
    assert!(is_listed("fd00::1"));
    assert!(!is_listed("10.0.0.1"));
    assert_eq!(policy.lists.len(), 1);
}
