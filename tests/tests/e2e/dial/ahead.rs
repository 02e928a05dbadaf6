//! Sockets that the daemon made ahead, which the caller connects itself.

use std::time::Duration;

use enid_api::dial::wire::ErrorCode;
use enid_flowlog::Direction;
use enid_model::TrafficClass;
use enid_testbed::traffic::{accept, tcp_listen};
use enid_testbed::{DEADLINE, DaemonKind, HostOptions, wait_until};
use rustix::process::{Signal, kill_process};

use super::{dialer, refusal, refused};
use crate::ledger::{assert_closed, flush, records, to_port, total};
use crate::networks::{host, host_as, inside, ipv4, ipv6};

const TCP: u8 = 6;

#[test]
fn what_a_caller_connects_itself_is_the_tasks_in_its_class() {
    let host = host();
    let (web, peer) = (host.create("web", "red/a"), host.create("peer", "red/b"));
    let ahead = dialer(&host, "web").class(TrafficClass::Secrets).ahead();
    for (own, address, port) in [(ipv4(&web), ipv4(&peer), 8004), (ipv6(&web), ipv6(&peer), 8006)] {
        let listener = tcp_listen(&inside(&peer), address, port);
        // More than are made at a time: the first are dialed by the daemon, later ones by this process.
        for _ in 0..60 {
            let stream = host.wait(ahead.connect(&address.to_string(), port)).unwrap();
            let (_far, from) = accept(&listener);
            assert_eq!((stream.local_addr().unwrap(), from.ip()), (from, own));
        }
        drop(listener);
        let (code, message) = refused(&host, &ahead, &address.to_string(), port);
        assert_eq!(code, ErrorCode::Refused, "{message}");
    }
    flush(&host);
    assert_closed(&host);
    let records = records(&host);
    for port in [8004, 8006] {
        let any = total(&records, "web", Direction::Egress, to_port(TCP, port));
        let its = total(&records, "web", Direction::Egress, |record| {
            to_port(TCP, port)(record) && record.traffic_class == Some(TrafficClass::Secrets)
        });
        assert_eq!(its, any);
        assert!(its.0 >= 60 * 3, "{its:?}");
    }
}

#[test]
fn the_daemon_has_no_part_in_it_until_the_task_ends() {
    let host = host_as(&HostOptions { daemon: DaemonKind::Process, ..HostOptions::default() });
    host.create("web", "red/a");
    let peer = host.create("peer", "red/b");
    let listener = tcp_listen(&inside(&peer), ipv4(&peer), 8000);
    let to = ipv4(&peer).to_string();
    let ahead = dialer(&host, "web").ahead();
    let connect = |patience| {
        let dialed = host.wait(async { tokio::time::timeout(patience, ahead.connect(&to, 8000)).await });
        dialed.is_ok_and(|dialed| dialed.is_ok())
    };
    assert!(connect(DEADLINE));
    drop(accept(&listener));
    // While it is stopped it can do nothing for anybody: as soon as there are sockets, that makes no difference.
    let daemon = host.daemon_process();
    assert!(wait_until(DEADLINE, || {
        kill_process(daemon, Signal::STOP).unwrap();
        let is_connected = connect(Duration::from_secs(1));
        kill_process(daemon, Signal::CONT).unwrap();
        is_connected
    }));
    assert!(host.delete("web"));
    let (code, message) = refusal(host.wait(ahead.connect(&to, 8000)));
    assert_eq!(code, ErrorCode::NoSuchTask, "{message}");
}
