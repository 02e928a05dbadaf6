//! Whatever a frame is, the ledgers close, and what is well-formed is what another reader of headers says it is.

use enid_abi::Ledger;
use enid_datapath::{Bucket, Direction};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::case::{Case, Fixture};
use crate::frame::{ETHERNET, Ipv4, Ipv6, authentication, ethernet, fragment, icmp, options, tcp, udp};
use crate::host::in_host;
use crate::reference;
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
        (any::<u8>(), prop::collection::vec(any::<u8>(), 0..100)),
    ]
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

fn well_formed() -> impl Strategy<Value = Vec<u8>> {
    let destination4 = prop_oneof![
        4 => any::<[u8; 4]>(),
        1 => Just([169, 254, 169, 254]),
        1 => any::<[u8; 2]>().prop_map(|[c, d]| [169, 254, c, d]),
    ];
    let ipv4 = (
        transport(),
        any::<[u8; 4]>(),
        destination4,
        0..=10_usize,
        prop_oneof![3 => Just(0_u16), 1 => any::<u16>()],
    )
        .prop_map(|((protocol, payload), source, destination, words, fragment)| {
            let ip = Ipv4 {
                source: source.into(),
                destination: destination.into(),
                protocol,
                options: vec![1; words * 4],
                fragment,
                total_length: None,
            };
            ip.frame(&payload)
        });
    let destination6 = prop_oneof![
        4 => any::<[u8; 16]>().prop_map(Into::into),
        1 => Just("fd00:ec2::254".parse().unwrap()),
    ];
    let chain = prop::collection::vec(extension(), 0..10);
    let ipv6 = (transport(), any::<[u8; 16]>(), destination6, chain).prop_map(
        |((protocol, payload), source, destination, extensions)| {
            let ip = Ipv6 { source: source.into(), destination, extensions, protocol, payload_length: None };
            ip.frame(&payload)
        },
    );
    let other = (any::<u16>(), prop::collection::vec(any::<u8>(), 46..200))
        .prop_map(|(ether_type, payload)| ethernet(ether_type, &payload));
    prop_oneof![4 => ipv4, 4 => ipv6, 1 => other]
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
        let fixture = Fixture::with_capacity(256);
        let gso = (prop_oneof![Just(0_u32), 1..2000_u32], prop_oneof![Just(0_u32), 1..60_u32]);
        let strategy = (mutated(), any::<bool>(), gso);
        runner(4000)
            .run(&strategy, |(frame, egress, (size, segments))| {
                let direction = if egress { Direction::Egress } else { Direction::Ingress };
                let before = fixture.ledgers();
                let verdict = fixture.run(direction, &frame, Gso { size, segments });
                let after = fixture.ledgers();
                prop_assert_eq!(after.of(direction.reverse()), before.of(direction.reverse()));
                let (before, after) = (before.of(direction), after.of(direction));
                // One buffer, unless it was dropped on its way in.
                let dropped = verdict == Verdict::Drop;
                let counted = u64::from(!dropped || egress);
                prop_assert_eq!(after.buffers - before.buffers, counted);
                prop_assert_eq!(after.layer2_bytes - before.layer2_bytes, counted * frame.len() as u64);
                let packets = after.wire.packets - before.wire.packets;
                prop_assert!(packets == 1 || size != 0);
                let refused = |ledger: &Ledger| ledger.bucket(Bucket::InstanceMetadata);
                prop_assert_eq!(refused(after) != refused(before), dropped);
                Ok(())
            })
            .unwrap_or_else(|error| panic!("{error}"));
        fixture.assert_closes();
    });
}

#[test]
fn another_reader_of_headers_agrees() {
    in_host(|| {
        let fixture = Fixture::with_capacity(4096);
        let strategy = (prop_oneof![well_formed(), mutated()], any::<bool>());
        runner(1000)
            .run(&strategy, |(frame, egress)| {
                prop_assume!(frame.len() >= ETHERNET + 40);
                let direction = if egress { Direction::Egress } else { Direction::Ingress };
                let (place, bytes) = reference::read(&frame, direction);
                fixture.check(&Case::new(direction, frame, place, bytes));
                Ok(())
            })
            .unwrap_or_else(|error| panic!("{error}"));
    });
}
