//! Aggregation intervals: what user space reads of a closed one is whole and at rest.

use std::time::{SystemTime, UNIX_EPOCH};

use enid_datapath::{Count, Direction, FlowReading, Interval};

use crate::case::{Fixture, count};
use crate::frame::{ACK, FIN, Ipv4, SYN, tcp};
use crate::host::in_host;

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

#[test]
fn an_expired_entry_is_left_alone() {
    in_host(|| {
        let fixture = Fixture::new();
        let send = || fixture.send(&Ipv4::default().frame(&tcp(1, 2, ACK, 10)));
        send();
        let old = only(&fixture);
        for _ in 0..=2 {
            assert!(!only(&fixture).expired);
            fixture.datapath.advance_interval().unwrap();
        }
        assert!(only(&fixture).expired);

        // A packet now counts in an entry beside it, so that the old one can be deleted at any time.
        let read = || {
            let mut flows = Vec::new();
            fixture.datapath.read_flows(&mut |flow| flows.push(flow)).unwrap();
            flows.sort_by_key(|flow| flow.key.generation);
            flows
        };
        send();
        send();
        let flows = read();
        assert_eq!(flows.len(), 2);
        assert!(flows[0].expired && !flows[1].expired);
        assert_eq!(count(&flows[0]), Count { packets: 1, bytes: 50 });
        assert_eq!(count(&flows[1]), Count { packets: 2, bytes: 100 });
        assert_eq!(flows[0].key, old.key);
        fixture.assert_closes();

        // Once the old one is gone its place is taken again, and the other one idles out.
        fixture.datapath.delete_flows(&[old.key]).unwrap();
        send();
        let flows = read();
        assert_eq!(flows.len(), 2);
        assert_eq!(count(&flows[0]), Count { packets: 1, bytes: 50 });
        assert_eq!(fixture.flows_total(Direction::Egress), Count { packets: 3, bytes: 150 });

        // Both expired, neither deleted: the packet is skipped, not lost.
        for _ in 0..=2 {
            fixture.datapath.advance_interval().unwrap();
        }
        assert!(read().iter().all(|flow| flow.expired));
        send();
        assert_eq!(read().len(), 2);
        let skipped = fixture.ledgers().egress.bucket(enid_datapath::Bucket::Skipped);
        assert_eq!(skipped, Count { packets: 1, bytes: 50 });
    });
}
