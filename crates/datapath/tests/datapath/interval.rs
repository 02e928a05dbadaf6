//! Aggregation intervals: what user space reads of a closed one is whole and at rest.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use enid_datapath::{Bucket, Count, EniSettings, FlowReading, Interval};

use crate::case::Fixture;
use crate::frame::{ACK, FIN, Ipv4, SYN, tcp};
use crate::host::in_host;
use crate::policy;
use crate::records::{Snapshot, count};

fn only(fixture: &Fixture) -> FlowReading {
    let flows = fixture.flows();
    assert_eq!(flows.len(), 1);
    *flows.values().next().unwrap()
}

fn unix() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn flags_and_times_are_of_one_interval() {
    in_host(|| {
        let fixture = Fixture::new();
        let send = |flags| fixture.send(&Ipv4::default().frame(&tcp(1, 2, flags, 10)));
        let before = unix();
        send(SYN);
        send(ACK);
        let first = fixture.datapath.advance_interval().unwrap();
        assert_eq!(first, Interval::FIRST);
        send(FIN | ACK);

        let flow = only(&fixture);
        let window = flow.window(first).unwrap();
        assert_eq!((window.packets, window.bytes, window.tcp_flags), (2, 100, 2));
        assert!(window.first <= window.last && window.last <= unix() && window.first + 1 >= before);
        let second = fixture.datapath.advance_interval().unwrap();
        assert_eq!(second, first.next());
        assert_eq!(only(&fixture).window(first), Some(window), "a closed window is at rest");
        let flow = only(&fixture);
        let closed = flow.window(second).unwrap();
        assert_eq!((closed.packets, closed.bytes, closed.tcp_flags), (1, 50, 1));
        assert_eq!(flow.last_seen, closed.last);

        // The third interval takes the first one's window: counters go on, flags and times begin anew.
        send(ACK);
        let third = fixture.datapath.advance_interval().unwrap();
        let flow = only(&fixture);
        assert_eq!(flow.window(first), None);
        let window = flow.window(third).unwrap();
        assert_eq!((window.packets, window.bytes, window.tcp_flags), (3, 150, 0));
    });
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
