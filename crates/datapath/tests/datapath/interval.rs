//! Aggregation intervals: what user space reads of a closed one is whole and at rest.

use std::time::{SystemTime, UNIX_EPOCH};

use enid_datapath::{FlowReading, Interval};

use crate::case::Fixture;
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
