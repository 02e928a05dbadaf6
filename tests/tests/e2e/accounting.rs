//! Known traffic, and what the records say of it.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use enid_api::v1::{CreateTaskRequest, Task};
use enid_flowlog::{Direction, LogStatus};
use enid_netns::Namespace;
use enid_testbed::namespace::{self, command};
use enid_testbed::traffic::{no_ping, ping, send_datagrams, transfer, udp};
use enid_testbed::{DEADLINE, Host, new_task, wait_until};

use crate::ledger::{
    assert_closed, assert_nothing_pending, between, counters, flush, named, records, to_port, total,
};
use crate::networks::{host, inside, ipv4, ipv6};

const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// Two tasks of a VPC, with the addresses of each in one family.
struct Pair {
    host: Host,
    a: Task,
    b: Task,
}

impl Pair {
    #[track_caller]
    fn new() -> Self {
        Self::with_mtu(9001)
    }

    #[track_caller]
    fn with_mtu(mtu: u32) -> Self {
        let host = host();
        let create = |name, subnet| {
            host.create_as(&CreateTaskRequest { mtu: Some(mtu), ..new_task(name, subnet) }).unwrap()
        };
        let (a, b) = (create("a", "red/a"), create("b", "red/b"));
        Self { host, a, b }
    }

    /// The addresses of both, IPv4 and IPv6.
    fn addresses(&self) -> [(IpAddr, IpAddr); 2] {
        [(ipv4(&self.a), ipv4(&self.b)), (ipv6(&self.a), ipv6(&self.b))]
    }

    /// Closes the interval, and asserts that the ledgers close without anything waiting.
    #[track_caller]
    fn close(&self) {
        flush(&self.host);
        assert_closed(&self.host);
        assert_nothing_pending(&self.host);
    }
}

#[test]
fn datagrams_are_counted_exactly() {
    let pair = Pair::new();
    for (from, to) in pair.addresses() {
        for (port, count, size) in [(5001, 1, 0), (5002, 50, 1), (5003, 20, 1200), (5004, 7, 8900)] {
            let (near, far) = (udp(&inside(&pair.a), from, port + 100), udp(&inside(&pair.b), to, port));
            send_datagrams(&near, &far, count, size);
        }
    }
    pair.close();
    let records = records(&pair.host);
    for (from, to) in pair.addresses() {
        let headers = if from.is_ipv4() { 28 } else { 48 };
        for (port, count, size) in [(5001, 1, 0), (5002, 50, 1), (5003, 20, 1200), (5004, 7, 8900)] {
            let wanted = (count, count * (size + headers));
            for (task, direction) in [("a", Direction::Egress), ("b", Direction::Ingress)] {
                let of = |record: &_| to_port(UDP, port)(record) && between(UDP, from, to)(record);
                assert_eq!(total(&records, task, direction, of), wanted, "{task} port {port}");
            }
        }
    }
    // Each flow has one record, with the ports of both sides.
    let ports = records.iter().filter(|record| record.dstport == Some(5003) && record.srcport == Some(5103));
    assert_eq!(ports.count(), 4);
}

#[test]
fn a_later_interval_has_what_came_since() {
    let pair = Pair::new();
    let (from, to) = pair.addresses()[0];
    let (near, far) = (udp(&inside(&pair.a), from, 5000), udp(&inside(&pair.b), to, 5001));
    for (round, count) in [3, 5, 0, 2].into_iter().enumerate() {
        let before = total(&records(&pair.host), "a", Direction::Egress, to_port(UDP, 5001));
        send_datagrams(&near, &far, count, 72);
        pair.close();
        let after = total(&records(&pair.host), "a", Direction::Egress, to_port(UDP, 5001));
        let count = count as u64;
        assert_eq!((after.0 - before.0, after.1 - before.1), (count, count * 100), "round {round}");
    }
}

#[test]
fn tcp_is_counted_as_the_segments_on_the_wire() {
    assert_tcp_is_counted_exactly(&Pair::new());
}

#[test]
fn tcp_is_counted_as_the_segments_on_the_wire_at_1500_bytes() {
    assert_tcp_is_counted_exactly(&Pair::with_mtu(1500));
}

#[test]
fn tcp_without_offloads_is_counted_the_same() {
    let pair = Pair::new();
    for task in [&pair.a, &pair.b] {
        command(&inside(task), &["ethtool", "-K", "eth0", "tso", "off", "gso", "off", "gro", "off"]);
    }
    assert_tcp_is_counted_exactly(&pair);
}

/// Transfers over TCP, and holds the records against what the kernel's TCP says it sent.
#[track_caller]
fn assert_tcp_is_counted_exactly(pair: &Pair) {
    const SIZE: usize = 3_000_000;
    let (in_a, in_b) = (inside(&pair.a), inside(&pair.b));
    for (_, to) in pair.addresses() {
        let before = (segments_sent(&in_a), segments_sent(&in_b));
        transfer(&in_a, &in_b, SocketAddr::new(to, 8080), SIZE);
        flush(&pair.host);
        let sent = (segments_sent(&in_a) - before.0, segments_sent(&in_b) - before.1);
        let records = records(&pair.host);
        let of_client = |task, direction| {
            total(&records, task, direction, |r| to_port(TCP, 8080)(r) && r.dstaddr == Some(to))
        };
        let of_server = |task, direction| {
            total(&records, task, direction, |r| {
                r.protocol == Some(TCP) && r.srcport == Some(8080) && r.srcaddr == Some(to)
            })
        };
        let (there, back) = (of_client("a", Direction::Egress), of_server("b", Direction::Egress));
        assert_eq!((there.0, back.0), sent, "packets, against what the kernel's TCP sent");
        assert_eq!(there, of_client("b", Direction::Ingress));
        assert_eq!(back, of_server("a", Direction::Ingress));
        // At least 20 bytes of TCP header to each packet.
        let headers = if to.is_ipv4() { 40 } else { 60 };
        assert!(there.1 >= SIZE as u64 + headers * there.0, "{there:?}");
    }
    pair.close();
    // SYN 2 and FIN 1 from the client; SYN-ACK 18 and FIN 1 from the server.
    let records = records(&pair.host);
    let flags = |task: &str, direction, port_of_source: bool| {
        let of_task = records.iter().filter(|record| {
            record.task_name.as_deref() == Some(task)
                && record.flow_direction == Some(direction)
                && (record.srcport == Some(8080)) == port_of_source
                && record.protocol == Some(TCP)
        });
        of_task.fold(0, |flags, record| flags | record.tcp_flags.unwrap())
    };
    assert_eq!(flags("a", Direction::Egress, false), 3);
    assert_eq!(flags("b", Direction::Ingress, false), 3);
    assert_eq!(flags("b", Direction::Egress, true), 19);
    assert_eq!(flags("a", Direction::Ingress, true), 19);
}

/// How many TCP segments a namespace has sent, repeats among them (RFC 4022: tcpOutSegs leaves those out).
pub(crate) fn segments_sent(namespace: &Namespace) -> u64 {
    let text =
        namespace::inside(namespace, || std::fs::read_to_string("/proc/thread-self/net/snmp").unwrap());
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let value = |wanted: &str| {
        let mut pairs = names.split(' ').zip(values.split(' '));
        pairs.find(|(name, _)| *name == wanted).unwrap().1.parse::<u64>().unwrap()
    };
    value("OutSegs") + value("RetransSegs")
}

#[test]
fn pings_are_counted_exactly() {
    let pair = Pair::new();
    for (_, to) in pair.addresses() {
        assert!(ping(&inside(&pair.a), to, 5, 56));
    }
    pair.close();
    let records = records(&pair.host);
    for ((from, to), protocol, size) in
        pair.addresses().into_iter().zip([(ICMP, 84), (ICMPV6, 104)]).map(|(ends, (p, s))| (ends, p, s))
    {
        let of = |task, direction, from, to| total(&records, task, direction, between(protocol, from, to));
        for (task, there) in [("a", Direction::Egress), ("b", Direction::Ingress)] {
            assert_eq!(of(task, there, from, to), (5, 5 * size), "{task}");
        }
        for (task, back) in [("b", Direction::Egress), ("a", Direction::Ingress)] {
            assert_eq!(of(task, back, to, from), (5, 5 * size), "{task}");
        }
    }
    let of_icmp = records.iter().filter(|record| record.protocol == Some(ICMP));
    assert!(of_icmp.into_iter().all(|record| (record.srcport, record.dstport) == (Some(0), Some(0))));
}

#[test]
fn fragments_are_counted_exactly() {
    let pair = Pair::with_mtu(1500);
    for (from, to) in pair.addresses() {
        let (near, far) = (udp(&inside(&pair.a), from, 5000), udp(&inside(&pair.b), to, 5001));
        send_datagrams(&near, &far, 3, 20_000);
    }
    pair.close();
    let records = records(&pair.host);
    for (from, to) in pair.addresses() {
        // 20,008 bytes with the UDP header, in fragments of 1,480 bytes (RFC 791) or 1,448 (RFC 8200 section 4.5).
        let header = if from.is_ipv4() { 20 } else { 48 };
        let whole = 20_008 + 14 * header;
        for (task, direction) in [("a", Direction::Egress), ("b", Direction::Ingress)] {
            let all = total(&records, task, direction, between(UDP, from, to));
            assert_eq!(all, (3 * 14, 3 * whole), "{task}");
            // Only the first fragment has ports; the others are known by it.
            let with_ports = |record: &_| between(UDP, from, to)(record) && to_port(UDP, 5001)(record);
            assert_eq!(total(&records, task, direction, with_ports), all, "{task}");
        }
    }
}

#[test]
fn no_count_is_lost_where_many_threads_send_on_one_flow() {
    const THREADS: u64 = 4;
    const EACH: u64 = 2_500;
    let pair = Pair::new();
    let (from, to) = pair.addresses()[0];
    // A round each, so that the first packets of a flow meet too.
    for port in 5000..5004 {
        let (near, far) = (udp(&inside(&pair.a), from, port), udp(&inside(&pair.b), to, port));
        let received = AtomicU64::new(0);
        thread::scope(|scope| {
            let (near, received) = (&near, &received);
            for thread in 0..THREADS {
                scope.spawn(move || {
                    for number in 0..EACH {
                        near.send_to(&[0; 72], SocketAddr::new(to, port)).unwrap();
                        // Not so far ahead that a queue overflows on the way.
                        let at_least = (number * THREADS).saturating_sub(100 + thread);
                        assert!(wait_until(DEADLINE, || received.load(Ordering::Relaxed) >= at_least));
                    }
                });
            }
            for _ in 0..THREADS * EACH {
                far.recv(&mut [0; 73]).unwrap();
                received.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    pair.close();
    let records = records(&pair.host);
    for port in 5000..5004 {
        let wanted = (THREADS * EACH, THREADS * EACH * 100);
        assert_eq!(total(&records, "a", Direction::Egress, to_port(UDP, port)), wanted);
        assert_eq!(total(&records, "b", Direction::Ingress, to_port(UDP, port)), wanted);
    }
}

#[test]
fn an_idle_eni_has_a_record_that_says_so() {
    let pair = Pair::new();
    flush(&pair.host);
    let (from, to) = pair.addresses()[0];
    send_datagrams(&udp(&inside(&pair.a), from, 5000), &udp(&inside(&pair.b), to, 5001), 1, 1);
    pair.host.create("idle", "red/a");
    pair.close();
    let records = records(&pair.host);
    let idle = |task: &str| {
        let of_task = records.iter().filter(|record| record.task_name.as_deref() == Some(task));
        of_task.filter(|record| record.log_status == Some(LogStatus::NoData)).count()
    };
    // The first interval, before any traffic; the second, without any.
    assert_eq!((idle("a"), idle("b")), (1, 1));
    assert_eq!(idle("idle"), 1);
    let no_data = records.iter().filter(|record| record.log_status == Some(LogStatus::NoData));
    assert!(no_data.into_iter().all(|record| record.packets.is_none() && record.srcaddr.is_none()));
}

#[test]
fn what_makes_no_record_is_in_a_bucket() {
    let pair = Pair::new();
    let in_a = inside(&pair.a);
    // Somebody asks for a neighbour, though a task need not.
    command(&in_a, &["ip", "neigh", "flush", "all"]);
    command(&in_a, &["ip", "neigh", "del", "10.0.0.1", "dev", "eth0"]);
    assert!(ping(&in_a, ipv4(&pair.b), 1, 56));
    command(
        &in_a,
        &["ip", "route", "replace", "169.254.169.254", "via", "10.0.0.1", "onlink", "dev", "eth0"],
    );
    assert!(no_ping(&in_a, "169.254.169.254".parse().unwrap()));
    pair.close();
    let counters = counters(&pair.host, "a");
    let (egress, ingress) = (counters.egress.unwrap(), counters.ingress.unwrap());
    assert_eq!(named(&egress, "arp").0, named(&ingress, "arp").0);
    assert!(named(&egress, "arp").0 > 0);
    let (packets, bytes) = named(&egress, "instance-metadata");
    assert!(packets > 0);
    assert_eq!(bytes, packets * 84);
    assert_eq!(named(&egress, "application"), (1, 84));
    let named_packets: u64 =
        egress.classes.iter().chain(&egress.buckets).map(|counter| counter.packets).sum();
    assert_eq!(named_packets, egress.packets);
}

#[test]
fn flows_that_find_no_room_pass_and_are_counted_as_skipped() {
    let options = enid_testbed::HostOptions { flow_capacity: 64, ..Default::default() };
    let host = crate::networks::host_as(&options);
    let (a, b) = (host.create("a", "red/a"), host.create("b", "red/b"));
    let far = udp(&inside(&b), ipv4(&b), 5001);
    for _ in 0..200 {
        send_datagrams(&udp(&inside(&a), ipv4(&a), 0), &far, 1, 72);
    }
    flush(&host);
    assert_closed(&host);
    let egress = counters(&host, "a").egress.unwrap();
    let (in_flows, skipped) = (named(&egress, "application"), named(&egress, "skipped"));
    assert!(skipped.0 > 0, "{egress:?}");
    assert_eq!(in_flows.0 + skipped.0, 200, "{egress:?}");
    let skips = records(&host).into_iter().filter(|record| record.log_status == Some(LogStatus::SkipData));
    assert_eq!(skips.count(), 2);
}
