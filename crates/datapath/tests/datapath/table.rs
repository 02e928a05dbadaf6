//! The flow table: full, read in batches, deleted from.

use std::collections::HashSet;

use enid_datapath::{Bucket, Count};

use crate::case::{Case, Fixture};
use crate::frame::{ACK, Ipv4, SYN, tcp};
use crate::host::in_host;
use crate::records::{BOTH, Place};

#[test]
fn a_full_table_skips_but_loses_nothing() {
    in_host(|| {
        let fixture = Fixture::with_capacity(4);
        let frame = |port| Ipv4::default().frame(&tcp(port, 80, ACK, 0));
        for port in 0..4 {
            fixture.send(&frame(port));
        }
        assert_eq!(fixture.flows().len(), 4);
        for direction in BOTH {
            let place = Place::Bucket(Bucket::Skipped);
            fixture.check(&Case::new(direction, frame(9), place, 40));
        }
        // Flows that have an entry keep it.
        fixture.send(&frame(3));
        let ledger = fixture.ledgers().egress;
        assert_eq!(ledger.wire(), Count { packets: 6, bytes: 240 });
        assert_eq!(ledger.bucket(Bucket::Skipped), Count { packets: 1, bytes: 40 });
        fixture.assert_closes();
    });
}

#[test]
fn every_entry_is_read_exactly_once() {
    in_host(|| {
        const FLOWS: u16 = 20_000;
        // Few buckets for many entries, so that batches end in their midst.
        let fixture = Fixture::with_capacity(FLOWS.into());
        for port in 0..FLOWS {
            fixture.send(&Ipv4::default().frame(&tcp(port, 80, ACK, 0)));
        }
        let mut ports = HashSet::new();
        let mut keys = Vec::new();
        fixture
            .datapath
            .read_flows(&mut |flow| {
                assert!(ports.insert(flow.source_port));
                keys.push(flow.key);
            })
            .unwrap();
        assert_eq!(ports.len(), usize::from(FLOWS));

        let (some, rest) = keys.split_at(7000);
        fixture.datapath.delete_flows(some).unwrap();
        assert_eq!(fixture.flows().len(), rest.len());
        // All of them: those that are gone are passed over, first, last and in between.
        fixture.datapath.delete_flows(&keys).unwrap();
        fixture.datapath.delete_flows(&keys).unwrap();
        fixture.datapath.delete_flows(&[]).unwrap();
        assert!(fixture.flows().is_empty());
        fixture.send(&Ipv4::default().frame(&tcp(1, 80, SYN, 0)));
        assert_eq!(fixture.flows().len(), 1);
    });
}
