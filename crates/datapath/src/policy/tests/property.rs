//! The compiled policy says what the rules say.

use std::cell::Cell;
use std::net::IpAddr;

use enid_abi::{Direction, MAX_GROUPS, Match, ObjectId, PolicyPacket, judge};
use enid_model::{
    Cidr, EniNumber, IcmpSelector, Peer, PortRange, PrefixList, Protocol, Rule, SecurityGroup,
    SecurityGroupId,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};

use super::reference::World;
use super::{group, group_id, list, list_id};
use crate::policy::compile::{address_of, family_of};
use crate::policy::{MapId as _, Policy, PolicyQuestion};

/// Groups that rules and ENIs may name; the last is never declared.
const GROUPS: u8 = 6;
const LISTS: u8 = 3;

/// Few, so that rules and packets meet; with the ends of both families, and IPv6 addresses that IPv4 is mapped to.
const ADDRESSES: [&str; 20] = [
    "0.0.0.0",
    "10.0.0.0",
    "10.0.0.1",
    "10.0.0.2",
    "10.0.0.255",
    "10.0.1.0",
    "10.128.0.0",
    "172.16.0.9",
    "255.255.255.254",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:10.0.0.1",
    "::ffff:255.255.255.255",
    "fd00::",
    "fd00::1",
    "fd00:0:0:1::",
    "fd00:0:0:1:8000::",
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe",
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
];

fn address() -> impl Strategy<Value = IpAddr> {
    select(&ADDRESSES[..]).prop_map(|text| text.parse().unwrap())
}

/// A block that one of the addresses is in.
fn cidr() -> impl Strategy<Value = Cidr> {
    let prefix = prop_oneof![4 => Just(0), 3 => Just(128), 5 => 0..=128_u32];
    (address(), prefix).prop_map(|(address, prefix)| {
        let (network, prefix) = match address {
            IpAddr::V4(address) => {
                let prefix = prefix.min(128) * 32 / 128;
                let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
                (IpAddr::V4((u32::from(address) & mask).into()), prefix)
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
                (IpAddr::V6((u128::from(address) & mask).into()), prefix)
            }
        };
        format!("{network}/{prefix}").parse().unwrap()
    })
}

const PORTS: [u16; 8] = [0, 1, 79, 80, 443, 0x0800, 0x0300, 65_535];

fn ports() -> impl Strategy<Value = PortRange> {
    let everything = Just((0, 65_535));
    prop_oneof![1 => everything, 4 => (select(&PORTS[..]), select(&PORTS[..]))]
        .prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b)).parse().unwrap())
}

fn icmp() -> impl Strategy<Value = IcmpSelector> {
    (select(&[0, 3, 8, 128, 255][..]), option::of(select(&[0, 1, 255][..])))
        .prop_map(|(icmp_type, code)| IcmpSelector { icmp_type, code })
}

fn peer() -> impl Strategy<Value = Peer> {
    prop_oneof![
        5 => cidr().prop_map(Peer::from),
        3 => (0..GROUPS).prop_map(|number| Peer::SecurityGroup(group_id(number))),
        3 => (0..=LISTS).prop_map(|number| Peer::PrefixList(list_id(number))),
    ]
}

fn rule() -> impl Strategy<Value = Rule> {
    let selected = prop_oneof![
        2 => Just((Protocol::All, None, None)),
        3 => option::of(ports()).prop_map(|ports| (Protocol::TCP, ports, None)),
        2 => option::of(ports()).prop_map(|ports| (Protocol::UDP, ports, None)),
        1 => option::of(icmp()).prop_map(|icmp| (Protocol::ICMP, None, icmp)),
        1 => option::of(icmp()).prop_map(|icmp| (Protocol::ICMPV6, None, icmp)),
        1 => select(&[0_u8, 47, 255][..]).prop_map(|number| (Protocol::Number(number), None, None)),
    ];
    (selected, peer()).prop_map(|((protocol, ports, icmp), peer)| Rule { protocol, ports, icmp, peer })
}

fn rules() -> impl Strategy<Value = Vec<Rule>> {
    prop_oneof![30 => vec(rule(), 0..6), 1 => vec(rule(), 59..=60)]
}

fn any_group(number: u8) -> impl Strategy<Value = SecurityGroup> {
    (rules(), rules()).prop_map(move |(ingress, egress)| group(number, ingress, egress))
}

fn any_list(number: u8) -> impl Strategy<Value = PrefixList> {
    let entries = prop_oneof![60 => vec(cidr(), 0..12), 1 => vec(cidr(), 1000)];
    entries.prop_map(move |entries| list(number, entries))
}

pub(super) fn world() -> impl Strategy<Value = World> {
    let groups = (0..GROUPS - 1).map(any_group).collect::<Vec<_>>();
    let lists = (0..LISTS).map(any_list).collect::<Vec<_>>();
    // What is IPv6 and looks like IPv4 is no ENI's address.
    let member = address().prop_filter("a mapped address", |address| address.to_canonical() == *address);
    let members = vec((0..GROUPS, member), 0..20);
    (groups, lists, members).prop_map(|(groups, lists, members)| World {
        groups,
        lists,
        members: members.into_iter().map(|(group, address)| (group_id(group), address)).collect(),
    })
}

pub(super) fn packet() -> impl Strategy<Value = PolicyQuestion> {
    let direction = prop_oneof![Just(Direction::Egress), Just(Direction::Ingress)];
    let protocol = select(&[0_u8, 1, 6, 6, 6, 17, 17, 47, 58, 255][..]);
    let selector = option::weighted(0.9, prop_oneof![4 => select(&PORTS[..]), 1 => any::<u16>()]);
    (direction, address(), protocol, selector).prop_map(|(direction, peer, protocol, selector)| {
        PolicyQuestion { direction, peer, protocol, selector }
    })
}

pub(super) fn compile(world: &World) -> Policy {
    let mut policy = Policy::new();
    for group in &world.groups {
        policy.add_group(group).unwrap();
    }
    for list in &world.lists {
        policy.add_prefix_list(list).unwrap();
    }
    for (group, address) in &world.members {
        policy.add_member(*group, *address, EniNumber::MIN);
    }
    policy
}

#[test]
fn the_compiled_policy_agrees_with_the_rules() {
    let (refused, tracked, untracked) = (Cell::new(0_u32), Cell::new(0_u32), Cell::new(0_u32));
    let count = |cell: &Cell<u32>| cell.set(cell.get() + 1);
    let eni_groups = proptest::sample::subsequence((0..GROUPS).collect::<Vec<_>>(), 0..=MAX_GROUPS);
    let cases = (world(), eni_groups.prop_shuffle(), vec(packet(), 16));
    let mut runner = TestRunner::new(Config::with_cases(4096));
    let outcome = runner.run(&cases, |(world, numbers, packets)| {
        let policy = compile(&world);
        let groups: Vec<SecurityGroupId> = numbers.iter().map(|number| group_id(*number)).collect();
        let mut keys = [ObjectId::default(); MAX_GROUPS];
        for (key, group) in keys.iter_mut().zip(&groups) {
            *key = group.object_id();
        }
        for packet in packets {
            let compiled = PolicyPacket {
                peer: address_of(packet.peer),
                selector: packet.selector.unwrap_or(0),
                is_selector_known: packet.selector.is_some(),
                protocol: packet.protocol,
                family: family_of(packet.peer) as u8,
                direction: packet.direction as u8,
            };
            let judgement = judge(&keys, u32::try_from(groups.len()).unwrap(), &compiled, &policy);
            let expected = (world.is_allowed(&groups, &packet), world.is_untracked(&groups, &packet));
            prop_assert_eq!(
                (judgement.matched != Match::None, judgement.untracked),
                expected,
                "{:?}",
                packet
            );
            match expected {
                (false, _) => count(&refused),
                (true, false) => count(&tracked),
                (true, true) => count(&untracked),
            }
            if expected.0 {
                // The rule that it names is one that allows it, and that decides how.
                let group = groups[usize::from(judgement.group)];
                let rule = world.rule(group, packet.direction, judgement.rule.into());
                prop_assert!(world.is_for(rule, &packet), "{:?} is not for {:?}", rule, packet);
                let everywhere = matches!(rule.peer, Peer::Ipv4(block) if block.prefix() == 0)
                    || matches!(rule.peer, Peer::Ipv6(block) if block.prefix() == 0);
                prop_assert_eq!(judgement.matched == Match::Everywhere, everywhere);
            }
        }
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    // Each often: else the cases would say little.
    for (what, count) in [("refused", &refused), ("tracked", &tracked), ("untracked", &untracked)] {
        assert!(count.get() > 4096 * 16 / 100, "{what}: {}", count.get());
        println!("{what}: {}", count.get());
    }
}
