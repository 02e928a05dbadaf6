//! Whatever a frame is, the ledgers close, and what is well-formed is what another reader of headers says it is.

use std::cell::RefCell;
use std::net::Ipv6Addr;

use enid_datapath::{Bucket, Count, DatapathConfig, Direction};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::case::{Case, Fixture};
use crate::expected::Expected;
use crate::frame::{
    ETHERNET, Ipv4, Ipv6, authentication, ethernet, fragment, from_mac, icmp, options, tcp, udp,
};
use crate::host::{config, in_host};
use crate::records::Snapshot;
use crate::run::{Gso, Verdict};

/// Longest frame that a test run takes, with room for what the kernel puts around it.
const LONGEST: usize = 3000;

fn transport() -> impl Strategy<Value = (u8, Vec<u8>)> {
    let ports = || (any::<u16>(), any::<u16>(), 0..200_usize);
    prop_oneof![
        (ports(), any::<u8>()).prop_map(|((from, to, size), flags)| (6, tcp(from, to, flags, size))),
        ports().prop_map(|(from, to, size)| (17, udp(from, to, size))),
        (any::<u8>(), 0..100_usize).prop_map(|(kind, size)| (1, icmp(kind, size))),
        (any::<u8>(), 0..100_usize).prop_map(|(kind, size)| (58, icmp(kind, size))),
        discovery().prop_map(|message| (58, message)),
        (any::<u8>(), prop::collection::vec(any::<u8>(), 0..100)),
    ]
}

/// Neighbour discovery, its target and an option mostly the task's own.
fn discovery() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop_oneof![3 => Just(135_u8), 3 => Just(136), 1 => 130..=137_u8, 1 => Just(143)];
    let option = prop_oneof![Just(1_u8), Just(2), any::<u8>()];
    let mac = prop_oneof![3 => Just([2, 0, 0, 0, 0, 2]), 1 => any::<[u8; 6]>()];
    (kind, source6(), prop::collection::vec((option, 0..2_u8, mac), 0..6)).prop_map(
        |(kind, target, options)| {
            let mut message = [&[kind, 0, 0, 0, 0, 0, 0, 0], &target[..]].concat();
            for (option, units, mac) in options {
                message.extend([option, units]);
                message.extend(mac);
            }
            message
        },
    )
}

fn extension() -> impl Strategy<Value = (u8, Vec<u8>)> {
    prop_oneof![
        (prop::sample::select(vec![0_u8, 43, 60]), 1..8_usize)
            .prop_map(|(number, units)| (number, options(units * 8))),
        (prop_oneof![Just(0_u16), any::<u16>()], any::<bool>())
            .prop_map(|(offset, more)| (44, fragment(offset & 0x1fff, more))),
        (3..10_usize).prop_map(|units| (51, authentication(units * 4))),
    ]
}

/// Mostly the task's own address, as nothing else leaves it.
fn source4() -> impl Strategy<Value = [u8; 4]> {
    prop_oneof![6 => Just(Ipv4::default().source.octets()), 1 => any::<[u8; 4]>()]
}

fn source6() -> impl Strategy<Value = [u8; 16]> {
    let link_local: Ipv6Addr = "fe80::ff:fe00:2".parse().unwrap();
    prop_oneof![
        6 => Just(Ipv6::default().source.octets()),
        1 => Just(link_local.octets()),
        1 => Just([0; 16]),
        1 => any::<[u8; 16]>(),
    ]
}

fn ipv4_frame() -> impl Strategy<Value = Vec<u8>> {
    let destination = prop_oneof![
        5 => any::<[u8; 4]>(),
        1 => Just([169, 254, 169, 254]),
        1 => any::<[u8; 2]>().prop_map(|[c, d]| [169, 254, c, d]),
        1 => Just([224, 0, 0, 1]),
        1 => Just([127, 0, 0, 1]),
    ];
    let fragment = prop_oneof![3 => Just(0_u16), 1 => any::<u16>()];
    (transport(), source4(), destination, 0..=10_usize, fragment).prop_map(
        |((protocol, payload), source, destination, words, fragment)| {
            let ip = Ipv4 {
                source: source.into(),
                destination: destination.into(),
                protocol,
                options: vec![1; words * 4],
                fragment,
                total_length: None,
            };
            ip.frame(&payload)
        },
    )
}

fn ipv6_frame() -> impl Strategy<Value = Vec<u8>> {
    let fixed = |address: &str| Just(address.parse::<Ipv6Addr>().unwrap());
    // Beyond the first 16 bits there is nothing that routes differ by.
    let anywhere = any::<[u8; 16]>().prop_map(|octets| {
        let mut octets = octets;
        octets[0] = 0x20;
        Ipv6Addr::from(octets)
    });
    let destination = prop_oneof![
        5 => anywhere,
        1 => fixed("fd00:ec2::254"),
        1 => fixed("ff02::1"),
        1 => fixed("ff02::1:ff00:5"),
        1 => fixed("::1"),
    ];
    let chain = prop::collection::vec(extension(), 0..10);
    (transport(), source6(), destination, chain).prop_map(
        |((protocol, payload), source, destination, extensions)| {
            let ip = Ipv6 { source: source.into(), destination, extensions, protocol, payload_length: None };
            ip.frame(&payload)
        },
    )
}

fn arp_frame() -> impl Strategy<Value = Vec<u8>> {
    let mac = prop_oneof![2 => Just([2, 0, 0, 0, 0, 2]), 1 => any::<[u8; 6]>()];
    let sender = prop_oneof![2 => source4(), 1 => Just([0; 4])];
    (mac, sender, any::<[u8; 4]>(), 1..=2_u8).prop_map(|(mac, sender, target, operation)| {
        let kinds = [0, 1, 8, 0, 6, 4, 0, operation];
        ethernet(0x0806, &[&kinds[..], &mac, &sender, &[0; 6], &target, &[0; 18]].concat())
    })
}

fn well_formed() -> impl Strategy<Value = Vec<u8>> {
    let other = (any::<u16>(), prop::collection::vec(any::<u8>(), 46..200))
        .prop_map(|(ether_type, payload)| ethernet(ether_type, &payload));
    let mac = prop_oneof![9 => Just([2, 0, 0, 0, 0, 2]), 1 => any::<[u8; 6]>()];
    (prop_oneof![4 => ipv4_frame(), 4 => ipv6_frame(), 1 => arp_frame(), 1 => other], mac)
        .prop_map(|(frame, mac)| from_mac(frame, mac))
}

/// A frame with some of its bytes changed, cut or with something after it.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6);
    (well_formed(), changes, prop::option::of(any::<prop::sample::Index>()), 0..30_usize).prop_map(
        |(mut frame, changes, cut, padding)| {
            for (at, byte) in changes {
                // Most of all the headers.
                let at = at.index(frame.len().min(120));
                frame[at] = byte;
            }
            if let Some(cut) = cut {
                // A test run wants a whole IP header.
                let shortest = ETHERNET + 40;
                if frame.len() > shortest {
                    frame.truncate(shortest + cut.index(frame.len() - shortest));
                }
            }
            frame.resize((frame.len() + padding).clamp(ETHERNET + 40, LONGEST), 0);
            frame
        },
    )
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() })
}

#[test]
fn any_frame_is_counted_exactly_once() {
    in_host(|| {
        // Full before long, both tables.
        let fixture = Fixture::with(&DatapathConfig { refusal_capacity: 64, ..config(256) });
        let gso = (prop_oneof![Just(0_u32), 1..2000_u32], prop_oneof![Just(0_u32), 1..60_u32]);
        let strategy = (mutated(), any::<bool>(), gso);
        runner(3000)
            .run(&strategy, |(frame, egress, (size, segments))| {
                let direction = if egress { Direction::Egress } else { Direction::Ingress };
                let before = Snapshot::take(&fixture.datapath);
                let verdict = fixture.run(direction, &frame, Gso { size, segments });
                let moved = Snapshot::take(&fixture.datapath).since(&before);
                let [moved] = moved.as_slice() else { panic!("{moved:?}") };
                prop_assert_eq!((moved.eni, moved.direction), (fixture.eni, direction));
                prop_assert_eq!(verdict, moved.place.verdict());
                // One buffer, unless it was dropped on its way in.
                let counted = u64::from(egress || verdict != Verdict::Drop);
                prop_assert_eq!(moved.buffers, counted);
                prop_assert_eq!(moved.layer2_bytes, counted * frame.len() as u64);
                prop_assert!(moved.wire.packets == 1 || size != 0);
                Ok(())
            })
            .unwrap_or_else(|error| panic!("{error}"));
        fixture.assert_closes();
        let ledgers = fixture.ledgers();
        for bucket in [Bucket::Skipped, Bucket::Unrecorded] {
            assert_ne!(ledgers.egress.bucket(bucket), Count::default(), "the tables were not full");
        }
    });
}

#[test]
fn another_reader_of_headers_agrees() {
    in_host(|| {
        let fixture = Fixture::with_capacity(4096);
        let expected = RefCell::new(Expected::default());
        let strategy = (prop_oneof![well_formed(), mutated()], any::<bool>());
        runner(1000)
            .run(&strategy, |(frame, egress)| {
                prop_assume!(frame.len() >= ETHERNET + 40);
                let direction = if egress { Direction::Egress } else { Direction::Ingress };
                let (place, bytes) = expected.borrow_mut().read(&frame, direction);
                fixture.check(&Case::new(direction, frame, place, bytes));
                Ok(())
            })
            .unwrap_or_else(|error| panic!("{error}"));
    });
}
