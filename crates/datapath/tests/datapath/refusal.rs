//! Refusals: by whom, why, how many, and what happens where there is no room.

use std::net::IpAddr;
use std::time::Duration;

use enid_datapath::{Bucket, Count, DatapathConfig, Direction, EniSettings, FlowReading, Forwarding, Reason};

use crate::frame::{ACK, SYN, from_mac, packet, tcp, udp};
use crate::host::{config, in_host};
use crate::policy::{self, EVERYTHING};
use crate::records::{Record, Snapshot, Tuple};
use crate::vpc::{Fate, Nic, Vpc, both_ways};

fn entries(read: impl Fn(&mut dyn FnMut(FlowReading))) -> Vec<FlowReading> {
    let mut entries = Vec::new();
    read(&mut |entry| entries.push(entry));
    entries
}

/// What the receiver refuses is accepted for the sender: two records, and of two packets twice as much in each.
#[test]
fn what_the_receiver_refuses_its_sender_let_through() {
    both_ways(|way| {
        let vpc = Vpc::new(way);
        let out = policy::group(&vpc.datapath, &[], &["udp:all:10.0.0.0/16"]);
        let (sender, receiver) = (vpc.add(1, &[out]), vpc.add(2, &[]));
        let frame = sender.packet(receiver.ipv4.into(), 17, &udp(4000, 53, 100));
        for packets in 1..=3 {
            let seen = vpc.carry(&sender, &receiver, &frame);
            assert_eq!(seen, [sender.sent(), receiver.kept_out(Reason::NoRule)]);
            let record = |nic: &Nic, direction, reason| {
                let tuple = Tuple {
                    direction,
                    source: sender.ipv4.into(),
                    destination: receiver.ipv4.into(),
                    protocol: 17,
                    ports: (4000, 53),
                };
                vpc.count(&Record { eni: nic.number, tuple, reason })
            };
            let count = Count { packets, bytes: packets * 128 };
            assert_eq!(record(&sender, Direction::Egress, None), count);
            assert_eq!(record(&receiver, Direction::Ingress, Some(Reason::NoRule)), count);
        }
        // Straight from ENI to ENI one entry says both.
        let refusals = entries(|each| vpc.datapath.read_refusals(each).unwrap());
        let flows = entries(|each| vpc.datapath.read_flows(each).unwrap());
        assert_eq!(refusals.len(), 1);
        match way {
            Forwarding::Direct => {
                assert_eq!((refusals[0].eni, refusals[0].target), (sender.number, Some(receiver.number)));
                assert!(flows.is_empty());
            }
            Forwarding::Kernel => {
                assert_eq!((refusals[0].eni, refusals[0].target), (receiver.number, None));
                assert_eq!((flows.len(), flows[0].target), (1, None));
            }
        }
    });
}

/// A refusal is one of a flow and a reason.
#[test]
fn each_reason_is_a_record_of_its_own() {
    in_host(|| {
        let vpc = Vpc::new(Forwarding::Direct);
        let out = policy::group(&vpc.datapath, &[], &["udp:53:0.0.0.0/0"]);
        let nic = vpc.add(1, &[out]);
        let remote: IpAddr = "192.0.2.1".parse().unwrap();
        let frame = |port| nic.packet(remote, 17, &udp(4000, port, 10));
        let strange = from_mac(frame(53), [2, 9, 9, 9, 9, 9]);
        for _ in 0..2 {
            assert_eq!(vpc.send(&nic, &frame(54)).seen, [nic.kept_in(Reason::NoRule)]);
            assert_eq!(vpc.send(&nic, &strange).seen, [nic.kept_in(Reason::SpoofedSource)]);
            assert_eq!(vpc.send(&nic, &frame(53)).seen, [nic.sent()]);
        }
        let records = Snapshot::take(&vpc.datapath).records;
        let mut reasons: Vec<_> =
            records.keys().map(|record| (record.tuple.ports.1, record.reason)).collect();
        reasons.sort_unstable();
        let expected = [(53, None), (53, Some(Reason::SpoofedSource)), (54, Some(Reason::NoRule))];
        assert_eq!(reasons, expected);
        assert!(records.values().all(|total| total.count == Count { packets: 2, bytes: 2 * 38 }));
    });
}

#[test]
fn without_room_refusals_are_counted_by_their_reason_alone() {
    both_ways(|way| {
        let vpc = Vpc::with(&DatapathConfig { refusal_capacity: 4, forwarding: way, ..config(1024) });
        let out = policy::group(&vpc.datapath, &[], &["udp:all:10.0.0.0/16"]);
        let (sender, receiver) = (vpc.add(1, &[out]), vpc.add(2, &[]));
        let outwards = |port| sender.packet("192.0.2.1".parse().unwrap(), 17, &udp(port, 53, 10));
        // A hash map may take a few more than its capacity.
        let mut recorded = 0;
        while vpc.send(&sender, &outwards(recorded)).seen == [sender.kept_in(Reason::NoRule)] {
            recorded += 1;
        }
        assert!((4..64).contains(&recorded), "{recorded}");
        let unrecorded = (sender.number, Direction::Egress, Fate::Unrecorded(Reason::NoRule));
        assert_eq!(vpc.send(&sender, &outwards(recorded)).seen, [unrecorded]);
        // What there is an entry for is still recorded.
        assert_eq!(vpc.send(&sender, &outwards(0)).seen, [sender.kept_in(Reason::NoRule)]);
        // Of what another refuses, the sender's part has no entry either, if it would be the same one.
        let frame = sender.packet(receiver.ipv4.into(), 17, &udp(1, 53, 10));
        let let_through = match way {
            Forwarding::Direct => sender.bucket(Direction::Egress, Bucket::Skipped),
            Forwarding::Kernel => sender.sent(),
        };
        let unrecorded = (receiver.number, Direction::Ingress, Fate::Unrecorded(Reason::NoRule));
        assert_eq!(vpc.carry(&sender, &receiver, &frame), [let_through, unrecorded]);
        // Nor does it take the room of flows.
        policy::change(&vpc.datapath, out, &[], EVERYTHING);
        for port in 0..20 {
            assert_eq!(vpc.send(&sender, &outwards(port)).seen, [sender.sent()]);
        }
    });
}

/// Flows that find no room are policed all the same; what answers them is not known, and says so.
#[test]
fn flows_without_room_are_policed_and_skipped() {
    both_ways(|way| {
        // Of established flows each takes two entries by either way: one for each direction, or for each ENI.
        let vpc = Vpc::with(&DatapathConfig { forwarding: way, ..config(4096) });
        let https = &["tcp:443:0.0.0.0/0"];
        let (connect, serve) =
            (policy::group(&vpc.datapath, &[], https), policy::group(&vpc.datapath, https, &[]));
        let (client, server) = (Nic::nth(1), Nic::nth(2));
        let limited = |nic: &Nic, group, limit| {
            let short = Duration::from_millis(200);
            EniSettings { flow_limit: limit, udp_stream: short, ..nic.settings(&[group]) }
        };
        vpc.join(&client, &limited(&client, connect, 2));
        vpc.join(&server, &limited(&server, serve, 1000));
        let ask = |port, flags| {
            let frame = client.packet(server.ipv4.into(), 6, &tcp(port, 443, flags, 0));
            vpc.carry(&client, &server, &frame)
        };
        let answer = |port, flags| {
            let frame = server.packet(client.ipv4.into(), 6, &tcp(443, port, flags, 0));
            vpc.carry(&server, &client, &frame)
        };
        let (asked, answered) = ([client.sent(), server.got()], [server.sent(), client.got()]);
        // By the kernel's way what the server gets takes an entry of the client's, too.
        let room = if way == Forwarding::Direct { 2 } else { 1 };
        for port in 1..=room {
            assert_eq!(ask(port, SYN), asked);
            assert_eq!(answer(port, SYN | ACK), answered);
            assert_eq!(ask(port, ACK), asked);
        }
        assert_eq!(vpc.datapath.flow_entries(client.number).unwrap(), 2);
        let skipped = [
            client.bucket(Direction::Egress, Bucket::Skipped),
            server.bucket(Direction::Ingress, Bucket::Skipped),
        ];
        assert_eq!(ask(9, SYN), skipped);
        assert_eq!(ask(9, SYN), skipped);
        // It is still policed.
        let frame = client.packet(server.ipv4.into(), 6, &tcp(9, 80, SYN, 0));
        assert_eq!(vpc.carry(&client, &server, &frame), [client.kept_in(Reason::NoRule)]);
        // Its answer is that of no known flow: the server's own part was skipped with the client's, by the client's limit.
        assert_eq!(answer(9, SYN | ACK), [server.kept_in(Reason::TableFull)]);
        // Those that have an entry go on, and another ENI has a limit of its own.
        assert_eq!(ask(1, ACK), asked);
        assert_eq!(answer(1, ACK), answered);
        assert_eq!(vpc.datapath.flow_entries(client.number).unwrap(), 2);

        // Where some are deleted, there is room again.
        let own = entries(|each| vpc.datapath.read_flows(each).unwrap());
        own.into_iter().for_each(|entry| vpc.delete(entry));
        assert_eq!(vpc.datapath.flow_entries(client.number).unwrap(), 0);
        let frame = client.packet(server.ipv4.into(), 6, &tcp(10, 443, SYN, 0));
        assert_eq!(vpc.carry(&client, &server, &frame), asked);
        assert_eq!(vpc.datapath.flow_entries(client.number).unwrap(), 2 / u64::from(room));
    });
}

/// What a task sends takes no room of who gets it: others reach that one as before.
#[test]
fn a_flood_takes_the_share_of_its_sender() {
    both_ways(|way| {
        const SHARE: u32 = 8;
        let vpc = Vpc::with(&DatapathConfig { forwarding: way, ..config(4096) });
        let all = &["all:0.0.0.0/0"];
        let (send, serve) = (policy::group(&vpc.datapath, &[], all), policy::group(&vpc.datapath, all, &[]));
        let join = |n, group| {
            let nic = Nic::nth(n);
            vpc.join(&nic, &EniSettings { flow_limit: SHARE, ..nic.settings(&[group]) });
            nic
        };
        let (client, server, flooder) = (join(1, send), join(2, serve), join(3, send));
        for port in 1..50 {
            let datagram = flooder.packet(server.ipv4.into(), 17, &udp(port, 53, 0));
            vpc.carry(&flooder, &server, &datagram);
        }
        let entries = |nic: &Nic| vpc.datapath.flow_entries(nic.number).unwrap();
        assert_eq!((entries(&flooder), entries(&server)), (SHARE.into(), 0));
        for port in 1..4 {
            let ask = |flags| {
                let frame = client.packet(server.ipv4.into(), 6, &tcp(port, 443, flags, 0));
                assert_eq!(vpc.carry(&client, &server, &frame), [client.sent(), server.got()]);
            };
            ask(SYN);
            let frame = server.packet(client.ipv4.into(), 6, &tcp(443, port, SYN | ACK, 0));
            assert_eq!(vpc.carry(&server, &client, &frame), [server.sent(), client.got()]);
            ask(ACK);
        }
        // Whoever counts them anew comes to the same.
        let counted = [&client, &server, &flooder].map(entries);
        vpc.datapath.recount_flows().unwrap();
        assert_eq!([&client, &server, &flooder].map(entries), counted);
    });
}

/// That the table was full explains nothing any more once flows have had the time to end.
#[test]
fn table_full_is_a_reason_for_a_while() {
    in_host(|| {
        let vpc = Vpc::new(Forwarding::Direct);
        let group = policy::group(&vpc.datapath, &[], &["udp:53:0.0.0.0/0"]);
        let nic = Nic::nth(1);
        let settings = |time| EniSettings { flow_limit: 1, udp_stream: time, ..nic.settings(&[group]) };
        vpc.join(&nic, &settings(Duration::from_hours(1)));
        let remote: IpAddr = "192.0.2.1".parse().unwrap();
        let ask = |port| vpc.send(&nic, &nic.packet(remote, 17, &udp(port, 53, 0))).seen;
        let answer = |port| vpc.arrive(&nic, &packet(remote, nic.ipv4.into(), 17, &udp(53, port, 0))).seen;
        assert_eq!(answer(2), [nic.kept_out(Reason::NoRule)]);
        assert_eq!(ask(1), [nic.sent()]);
        assert_eq!(ask(2), [nic.bucket(Direction::Egress, Bucket::Skipped)]);
        assert_eq!(answer(2), [nic.kept_out(Reason::TableFull)]);
        // What it has an entry for is let in, though there is none for the answer.
        assert_eq!(answer(1), [nic.bucket(Direction::Ingress, Bucket::Skipped)]);
        vpc.datapath.open_eni(&settings(Duration::from_millis(10))).unwrap();
        Vpc::idle(Duration::from_millis(10));
        assert_eq!(answer(2), [nic.kept_out(Reason::NoRule)]);
    });
}
