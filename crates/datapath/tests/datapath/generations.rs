//! Generations: a flow whose entry may not be touched any more goes on in another beside it, and no packet is lost.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use enid_datapath::{Bucket, Count, EniSettings, FlowReading, Forwarding};

use crate::case::Fixture;
use crate::frame::{ACK, Ipv4, tcp, udp};
use crate::host::in_host;
use crate::policy;
use crate::records::{Snapshot, count};
use crate::run::Verdict;
use crate::vpc::{Nic, Vpc};

fn only(fixture: &Fixture) -> FlowReading {
    let flows = fixture.flows();
    assert_eq!(flows.len(), 1);
    *flows.values().next().unwrap()
}

/// A fixture whose TCP flows are kept for a moment only, unless a connection is established.
fn short_lived() -> Fixture {
    let fixture = Fixture::new();
    let group = policy::open(&fixture.datapath);
    let tcp_opening = Duration::from_millis(50);
    let settings = EniSettings { tcp_opening, ..crate::host::settings(fixture.eni, &[group]) };
    fixture.datapath.open_eni(&settings).unwrap();
    fixture
}

/// Both entries of the one flow there is, by generation.
fn generations(fixture: &Fixture) -> Vec<FlowReading> {
    let mut flows = Vec::new();
    fixture.datapath.read_flows(&mut |flow| flows.push(flow)).unwrap();
    flows.sort_by_key(|flow| flow.key.generation);
    flows
}

/// Lets intervals pass until all entries have expired, which they do by the time that an interval began.
fn expire(fixture: &Fixture) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !generations(fixture).iter().all(|flow| flow.expired) {
        assert!(Instant::now() < deadline, "an idle entry does not expire");
        fixture.datapath.advance_interval().unwrap();
    }
}

#[test]
fn an_expired_entry_is_left_alone() {
    in_host(|| {
        let fixture = short_lived();
        let send = || fixture.send(&Ipv4::default().frame(&tcp(1, 2, ACK, 10)));
        send();
        let old = only(&fixture);
        assert!(!old.expired);
        std::thread::sleep(Duration::from_millis(150));
        assert!(!only(&fixture).expired, "the interval began before it was idle");
        expire(&fixture);

        // A packet now counts in an entry beside it, so that the old one can be deleted at any time.
        send();
        send();
        let flows = generations(&fixture);
        assert_eq!(flows.len(), 2);
        assert!(flows[0].expired && !flows[1].expired);
        assert_eq!(count(&flows[0]), Count { packets: 1, bytes: 50 });
        assert_eq!(count(&flows[1]), Count { packets: 2, bytes: 100 });
        assert_eq!(flows[0].key, old.key);
        fixture.assert_closes();
        assert_eq!(fixture.datapath.flow_entries(fixture.eni).unwrap(), 2);

        // Both expired, neither deleted: the packet is skipped, not lost.
        expire(&fixture);
        send();
        assert_eq!(generations(&fixture).len(), 2);
        let skipped = || fixture.ledgers().egress.bucket(Bucket::Skipped);
        assert_eq!(skipped(), Count { packets: 1, bytes: 50 });
        fixture.assert_closes();

        // Once one of them is gone, there is room again.
        fixture.datapath.delete_flows(&[flows[1].key]).unwrap();
        send();
        let flows = generations(&fixture);
        assert_eq!([count(&flows[0]).packets, count(&flows[1]).packets], [1, 1]);
        assert!(flows[0].expired && !flows[1].expired);
        assert_eq!(skipped(), Count { packets: 1, bytes: 50 });
        assert_eq!(fixture.datapath.flow_entries(fixture.eni).unwrap(), 2);
    });
}

/// Later packets look for an entry where the first generation is: one that is beside it goes there once that is free.
#[test]
fn a_flow_comes_back_to_its_first_place() {
    in_host(|| {
        let fixture = short_lived();
        let send = || fixture.send(&Ipv4::default().frame(&tcp(1, 2, ACK, 10)));
        send();
        let old = only(&fixture);
        expire(&fixture);
        send();
        assert_eq!(generations(&fixture).len(), 2);
        fixture.datapath.delete_flows(&[old.key]).unwrap();
        send();
        send();
        let flows = generations(&fixture);
        assert_eq!(flows.iter().map(|flow| flow.key.generation).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(count(&flows[0]), Count { packets: 2, bytes: 100 });
        assert_eq!(count(&flows[1]), Count { packets: 1, bytes: 50 });
        // What it has left behind is given up at once, however long its flow may be idle.
        let snapshot = Snapshot::take(&fixture.datapath);
        assert_eq!(snapshot.records.len(), 1);
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            send();
            fixture.datapath.advance_interval().unwrap();
            let flows = generations(&fixture);
            assert!(!flows[0].expired);
            if flows[1].expired {
                break;
            }
            assert!(Instant::now() < deadline, "an entry that was given up does not expire");
        }
    });
}

/// Where it is, it is found with more effort; that is no reason to lose it when there is no room for it elsewhere.
#[test]
fn without_room_a_flow_stays_beside_its_first_place() {
    in_host(|| {
        let fixture = short_lived();
        let set = |limit, time| {
            let settings = crate::host::settings(fixture.eni, &[policy::open(&fixture.datapath)]);
            let settings = EniSettings { flow_limit: limit, tcp_opening: time, ..settings };
            fixture.datapath.open_eni(&settings).unwrap();
        };
        let send = |port| fixture.send(&Ipv4::default().frame(&tcp(port, 2, ACK, 10)));
        send(1);
        let old = only(&fixture);
        expire(&fixture);
        set(2, Duration::from_hours(1));
        send(1);
        fixture.datapath.delete_flows(&[old.key]).unwrap();
        // Another flow takes the room that became free.
        send(7);
        assert_eq!(fixture.datapath.flow_entries(fixture.eni).unwrap(), 2);
        for packets in 2..5 {
            // It is looked for only as long as it is counted.
            fixture.datapath.recount_flows().unwrap();
            send(1);
            fixture.datapath.advance_interval().unwrap();
            let flows = generations(&fixture);
            assert_eq!(flows.len(), 2);
            let own = flows.iter().find(|flow| flow.source_port == 1).unwrap();
            assert_eq!((own.key.generation, own.expired), (1, false));
            assert_eq!(count(own), Count { packets, bytes: packets * 50 });
        }
        assert_eq!(fixture.ledgers().egress.bucket(Bucket::Skipped), Count::default());
    });
}

/// Large packets go by the kernel's way and small ones straight, each in an entry of its own, of which the other is given
/// up each time: it may expire at any moment, and is not counted in from then on.
#[test]
fn an_entry_that_was_given_up_is_left_alone_once_it_has_expired() {
    in_host(|| {
        let vpc = Vpc::new(Forwarding::Direct);
        let open = policy::group(&vpc.datapath, &["udp:all:10.0.0.0/16"], &["udp:all:10.0.0.0/16"]);
        let (client, server) = (vpc.add(1, &[open]), Nic::nth(2));
        vpc.join(&server, &EniSettings { mtu: 1500.try_into().unwrap(), ..server.settings(&[open]) });
        let to: IpAddr = server.ipv4.into();
        let send = |size: usize| vpc.send(&client, &client.packet(to, 17, &udp(1, 53, size))).verdict;
        let entries = || {
            let mut entries = Vec::new();
            vpc.datapath.read_flows(&mut |flow| entries.push(flow)).unwrap();
            entries
        };
        let expired = || {
            let deadline = Instant::now() + Duration::from_secs(20);
            loop {
                vpc.datapath.advance_interval().unwrap();
                if let Some(entry) = entries().into_iter().find(|entry| entry.expired) {
                    return entry;
                }
                assert!(Instant::now() < deadline, "an entry that was given up does not expire");
            }
        };
        let is_left_alone = |left: &FlowReading| {
            let same = entries().into_iter().find(|entry| entry.key == left.key);
            assert_eq!(same.map(|entry| count(&entry)), Some(count(left)));
        };
        assert_eq!(send(100), Verdict::Deliver);
        assert_eq!(send(1600), Verdict::Pass);
        assert_eq!(entries().len(), 2);
        let small = expired();
        assert_eq!((small.key.generation, small.target), (0, Some(server.number)));
        for (size, verdict) in [(100, Verdict::Deliver), (1600, Verdict::Pass), (100, Verdict::Deliver)] {
            assert_eq!(send(size), verdict);
            is_left_alone(&small);
        }
        vpc.delete(small);
        assert_eq!(send(100), Verdict::Deliver);
        assert_eq!(entries().len(), 2);
        let large = expired();
        assert_eq!((large.key.generation, large.target), (1, None));
        for (size, verdict) in [(1600, Verdict::Pass), (100, Verdict::Deliver), (1600, Verdict::Pass)] {
            assert_eq!(send(size), verdict);
            is_left_alone(&large);
        }
        // What had no room was skipped, and the flow is none the worse for it.
        let skipped = vpc.datapath.ledgers(client.number).unwrap().egress.bucket(Bucket::Skipped);
        assert_eq!(skipped.packets, 4);
        assert_eq!(entries().iter().filter(|entry| !entry.expired).count(), 1);
    });
}
