//! Over a real veth, by packet sockets and the kernel's own stack: what test runs can't show.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::thread;

use enid_datapath::{Bucket, Count, DatapathConfig, Direction, Forwarding};

use crate::frame::{ACK, ETHERNET, Ipv4, Ipv6, SYN, ethernet, fragment, from_mac, options, tcp, udp};
use crate::host::{config, in_host};
use crate::link::{NOBODY, Namespace, OUTSIDE, Task, Wire, linear, segmented};
use crate::records::{Record, Snapshot, Total};

const JUMBO: u32 = 9001;

/// What was counted of each flow of a task.
fn flows(wire: &Wire, task: &Task, direction: Direction) -> Vec<(Record, Total)> {
    let records = Snapshot::take(&wire.datapath).records;
    let is_own = |record: &Record| record.eni == task.nic.number && record.tuple.direction == direction;
    records.into_iter().filter(|(record, _)| is_own(record) && record.reason.is_none()).collect()
}

#[test]
fn short_frames_are_malformed() {
    in_host(|| {
        let wire = Wire::new(&config(1024));
        let task = wire.silent_task(1, JUMBO);
        let mut sent = Count::default();
        let mut frames = Vec::new();
        for (ether_type, header) in [(0x0800, 20), (0x86dd, 40)] {
            for length in 1..header {
                let packet = if ether_type == 0x0800 { [0x45; 40] } else { [0x60; 40] };
                frames.push((linear(0), ethernet(ether_type, &packet[..length])));
                sent.add(Count { packets: 1, bytes: length as u64 });
            }
        }
        task.send(frames);
        let ledgers = wire.assert_audits(&task);
        assert_eq!(ledgers.egress.bucket(Bucket::Malformed), sent);
        assert_eq!(ledgers.egress.wire(), sent);
    });
}

/// The kernel takes the tag off before any tc program runs, so its 4 bytes are in the interface's counter alone. Nor
/// can a program tell such a frame from one whose tag never was in it (by VLAN offload), which has no such difference.
#[test]
fn tagged_frames_are_not_ip() {
    in_host(|| {
        const TAG: u64 = 4;
        let wire = Wire::new(&config(1024));
        let task = wire.silent_task(1, JUMBO);
        let inner = &Ipv4::default().frame(&tcp(1, 2, SYN, 60))[12..];
        let tagged = ethernet(0x8100, &[&[0, 7], inner].concat());
        let length = tagged.len() as u64;
        task.send(vec![(linear(0), tagged)]);
        let (ledgers, [received, _], _) = wire.at_rest(&task);
        assert_eq!(received, Count { packets: 1, bytes: length });
        let (packets, bytes) = (1, length - TAG - ETHERNET as u64);
        assert_eq!((ledgers.egress.buffers, ledgers.egress.layer2_bytes), (packets, length - TAG));
        assert_eq!(ledgers.egress.bucket(Bucket::NotIp), Count { packets, bytes });
        Snapshot::take(&wire.datapath).assert_closes();
    });
}

#[test]
fn headers_outside_of_the_linear_part_are_read() {
    in_host(|| {
        let wire = Wire::new(&config(1024));
        let task = wire.silent_task(1, JUMBO);
        let payload = 5000;
        let ipv4 = Ipv4 { source: task.nic.ipv4, destination: NOBODY[0].parse().unwrap(), ..Ipv4::default() };
        let ipv4 = from_mac(ipv4.frame(&tcp(1, 2, SYN, payload)), task.nic.mac);
        let ipv6 = Ipv6 {
            source: task.nic.ipv6,
            destination: NOBODY[1].parse().unwrap(),
            extensions: vec![(0, options(8)), (44, fragment(0, false)), (60, options(64))],
            protocol: 17,
            ..Ipv6::default()
        };
        let ipv6 = from_mac(ipv6.frame(&udp(3, 4, payload)), task.nic.mac);
        let mut frames = Vec::new();
        for bytes in [14, 15, 34, 40, 53, 54, 70] {
            frames.push((linear(bytes), ipv4.clone()));
            frames.push((linear(bytes), ipv6.clone()));
        }
        let times = frames.len() as u64 / 2;
        task.send(frames);
        let ledgers = wire.assert_audits(&task);
        assert_eq!(ledgers.egress.buckets_total(), Count::default());
        let flows = flows(&wire, &task, Direction::Egress);
        assert_eq!(flows.len(), 2);
        for (flow, total) in flows {
            let is_ipv4 = flow.tuple.source.is_ipv4();
            let (ports, frame) = if is_ipv4 { ((1, 2), &ipv4) } else { ((3, 4), &ipv6) };
            assert_eq!(flow.tuple.ports, ports);
            let bytes = times * (frame.len() - ETHERNET) as u64;
            assert_eq!(total.count, Count { packets: times, bytes });
        }
    });
}

#[test]
fn a_virtual_machines_segments_count_as_packets() {
    in_host(|| {
        let wire = Wire::new(&config(1024));
        let task = wire.silent_task(1, JUMBO);
        let [ipv4, ipv6] = NOBODY
            .map(|destination| task.nic.packet(destination.parse().unwrap(), 6, &tcp(1, 2, ACK, 30_000)));
        task.send(vec![(segmented(1, 20, 1448), ipv4), (segmented(4, 40, 1428), ipv6)]);
        wire.assert_audits(&task);
        let flows = flows(&wire, &task, Direction::Egress);
        assert_eq!(flows.len(), 2);
        for (flow, total) in flows {
            let (packets, headers) = if flow.tuple.source.is_ipv4() { (21, 40) } else { (22, 60) };
            let bytes = 30_000 + packets * headers;
            assert_eq!(total.count, Count { packets, bytes });
        }
    });
}

/// Sends so many bytes from one namespace to another and as many back; it returns when all have arrived.
fn transfer(from: &Namespace, to: &Namespace, address: IpAddr, bytes: usize) {
    let listener = to.run(move || TcpListener::bind((address, 0)).unwrap());
    let to: SocketAddr = listener.local_addr().unwrap();
    let echo = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut received = vec![0; bytes];
        stream.read_exact(&mut received).unwrap();
        stream.write_all(&received).unwrap();
    });
    from.run(move || {
        let mut stream = TcpStream::connect(to).unwrap();
        let mut data = vec![7; bytes];
        stream.write_all(&data).unwrap();
        stream.read_exact(&mut data).unwrap();
    });
    echo.join().unwrap();
}

const BYTES: usize = 8 << 20;

/// Both directions of both transfers have the data, in packets no larger than the link takes.
fn assert_transferred(wire: &Wire, task: &Task, mtu: u64) {
    for direction in [Direction::Egress, Direction::Ingress] {
        let flows: BTreeMap<bool, Total> = flows(wire, task, direction)
            .into_iter()
            .filter(|(flow, _)| flow.tuple.protocol == 6)
            .map(|(flow, total)| (flow.tuple.source.is_ipv4(), total))
            .collect();
        assert_eq!(flows.len(), 2, "{direction:?}");
        for (is_ipv4, total) in flows {
            let ip = if is_ipv4 { 20 } else { 40 };
            let Count { packets, bytes } = total.count;
            // Each packet has an IP header and a TCP header with timestamps, so what is left is the data.
            let data = bytes - packets * (ip + 32);
            let wanted = BYTES as u64;
            // And what was sent again, which on a busy machine is some of it: the ledgers are the exact check.
            assert!((wanted..wanted + wanted / 4).contains(&data), "{total:?}");
            assert!(packets >= wanted.div_ceil(mtu - ip - 32), "{total:?}");
        }
    }
}

fn assert_segmented(wire: &Wire, task: &Task) {
    let ledgers = wire.assert_audits(task);
    let buffers = ledgers.egress.buffers + ledgers.ingress.buffers;
    assert!(ledgers.wire().packets > 2 * buffers, "buffers were segmented");
}

#[test]
fn tcp_with_offloads_audits_and_counts_what_is_on_the_wire() {
    for mtu in [JUMBO, 1500] {
        in_host(move || {
            let wire = Wire::new(&config(1024));
            let task = wire.task(1, mtu);
            for address in OUTSIDE {
                transfer(&task.namespace, &wire.outside, address.parse().unwrap(), BYTES);
            }
            assert_transferred(&wire, &task, mtu.into());
            assert_segmented(&wire, &task);
            let ledgers = wire.assert_audits(&task);
            // The task asks for its gateway.
            let asked =
                ledgers.egress.bucket(Bucket::Arp).packets + ledgers.ingress.bucket(Bucket::Arp).packets;
            assert!(asked >= 2);
        });
    }
}

#[test]
fn tcp_between_two_tasks_audits_by_either_way() {
    for forwarding in [Forwarding::Direct, Forwarding::Kernel] {
        in_host(move || {
            let wire = Wire::new(&DatapathConfig { forwarding, ..config(1024) });
            let [one, other] = [1, 2].map(|n| wire.task(n, JUMBO));
            for address in other.nic.addresses() {
                transfer(&one.namespace, &other.namespace, address, BYTES);
            }
            for task in [&one, &other] {
                assert_transferred(&wire, task, JUMBO.into());
                assert_segmented(&wire, task);
            }
            // Straight into the other namespace, they go past its host end.
            let (ledgers, [_, by_host_end], _) = wire.at_rest(&other);
            match forwarding {
                Forwarding::Direct => assert!(by_host_end.packets * 10 < ledgers.ingress.buffers),
                Forwarding::Kernel => assert_eq!(by_host_end.packets, ledgers.ingress.buffers),
            }
        });
    }
}
