//! Records as they come.

use enid_api::v1::{FollowRequest, GetSpoolRequest};
use enid_flowlog::{Direction, LineParser};
use enid_testbed::traffic::{send_datagrams, udp};
use enid_testbed::{DEADLINE, Host, HostOptions, wait_until};

use crate::delivery::Pair;
use crate::ledger::{assert_closed, flush, to_port};
use crate::networks::{host, host_as, inside, ipv4};

/// Has two new tasks exchange 3 datagrams of 100 bytes over IPv4, to port 5001.
fn exchange(host: &Host) -> (String, String) {
    let (a, b) = (host.create("a", "red/a"), host.create("b", "red/b"));
    send_datagrams(&udp(&inside(&a), ipv4(&a), 5000), &udp(&inside(&b), ipv4(&b), 5001), 3, 72);
    (a.eni.unwrap().id, b.eni.unwrap().id)
}

#[test]
fn an_interval_ends_by_itself() {
    let host = host_as(&HostOptions { interval_seconds: 1, ..Default::default() });
    exchange(&host);
    let spool = host.call(async |client| client.flows().get_spool(GetSpoolRequest {}).await).unwrap();
    assert_eq!(spool.aggregation_interval_seconds, 1);
    let written = || {
        let of = to_port(17, 5001);
        let records = crate::ledger::records(&host);
        records.iter().filter(|record| of(record)).filter_map(|record| record.packets).sum::<u64>() == 6
    };
    assert!(wait_until(DEADLINE, written));
}

#[test]
fn a_follower_gets_each_record_as_it_is_written() {
    let host = host();
    let lines: Vec<(String, String)> = host
        .call(async |client| {
            let mut stream = client.flows().follow(FollowRequest {}).await?.into_inner();
            // The answer's head is here: the daemon has the follower on its list.
            tokio::task::block_in_place(|| {
                exchange_beside(&host);
            });
            let mut lines = Vec::new();
            while lines.len() < 2 {
                let message = stream.message().await?.expect("a record");
                assert_eq!(message.missed, 0);
                lines.push((message.header, message.record));
            }
            Ok(tonic::Response::new(lines))
        })
        .unwrap();
    let of = to_port(17, 5001);
    for (header, line) in lines {
        let format = enid_flowlog::Format::from_header(&header).unwrap();
        let record = LineParser::new(format).parse(&line).unwrap();
        assert!(of(&record), "{line}");
        assert_eq!(record.bytes, Some(300));
    }
}

/// Long before the interval is over, and without anybody who asks for it to end.
#[test]
fn a_follower_sees_what_passes_while_it_passes() {
    let host = host_as(&HostOptions { interval_seconds: 600, ..HostOptions::default() });
    let pair = Pair::new(&host);
    let packets = host
        .call(async |client| {
            let mut stream = client.flows().follow(FollowRequest {}).await?.into_inner();
            let mut packets = Vec::new();
            for _ in 0..3 {
                tokio::task::block_in_place(|| {
                    std::thread::scope(|scope| scope.spawn(|| pair.send(2)).join().unwrap());
                });
                let mut seen = 0;
                while seen < 2 {
                    let message = stream.message().await?.expect("a record");
                    let format = enid_flowlog::Format::from_header(&message.header).unwrap();
                    let record = LineParser::new(format).parse(&message.record).unwrap();
                    assert!(record.packets.is_some(), "the interval is not over: {}", message.record);
                    if to_port(17, 5001)(&record) && record.flow_direction == Some(Direction::Egress) {
                        seen += record.packets.unwrap();
                    }
                }
                packets.push(seen);
            }
            Ok(tonic::Response::new(packets))
        })
        .unwrap();
    assert_eq!(packets, [2, 2, 2]);
    assert_closed(&host);
}

/// The same from inside a request: on a thread that has no runtime.
fn exchange_beside(host: &Host) {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            exchange(host);
            flush(host);
        });
    });
}
