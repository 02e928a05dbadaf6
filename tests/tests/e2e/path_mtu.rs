//! Path MTU: a way that carries less than an ENI.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use enid_api::v1::{CreateTaskRequest, Task};
use enid_flowlog::Direction;
use enid_netns::Namespace;
use enid_testbed::icmp::{IcmpError, IcmpErrors};
use enid_testbed::traffic::{
    accept, segment, send_bytes, send_datagrams, tcp_connect, tcp_listen, transfer, try_tcp_connect, udp,
};
use enid_testbed::{DEADLINE, new_task, wait_until};
use rustix::net::sockopt::{
    Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, ip_mtu, ipv6_mtu, set_ip_mtu_discover, set_ipv6_mtu_discover,
};

use crate::ledger::{assert_closed, between, counters, flush, records, to_port, total};
use crate::networks::{host, inside, ipv4, ipv6};
use crate::outside::{EXCHANGE, Outside, SERVER, parse};

const UDP: u8 = 17;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
const MEBIBYTE: usize = 1 << 20;

/// The gateways of subnet `a` of VPC `shop`, and of subnet `b` of VPC `red`.
const SHOP_GATEWAY: [&str; 2] = ["10.1.0.1", "fd00:b::1"];
const RED_GATEWAY: [&str; 2] = ["10.0.1.1", "fd00:a:0:1::1"];

/// What a sender has the kernel do with a datagram that is larger than the way.
#[derive(Clone, Copy, PartialEq)]
enum Oversize {
    /// Refuse it: IPv4 packets are sent with DF set.
    Refuse,
    /// Fragment it, at the sender where it knows (IPv6), or on the way (IPv4).
    Fragment,
}

/// A socket that is connected to the other end.
fn connected(namespace: &Namespace, from: IpAddr, to: SocketAddr, oversize: Oversize) -> UdpSocket {
    let socket = udp(namespace, from, 0);
    socket.connect(to).unwrap();
    let discovery = match (from.is_ipv4(), oversize) {
        (true, Oversize::Refuse) => set_ip_mtu_discover(&socket, Ipv4PathMtuDiscovery::DO),
        (true, Oversize::Fragment) => set_ip_mtu_discover(&socket, Ipv4PathMtuDiscovery::DONT),
        (false, Oversize::Refuse) => set_ipv6_mtu_discover(&socket, Ipv6PathMtuDiscovery::DO),
        (false, Oversize::Fragment) => set_ipv6_mtu_discover(&socket, Ipv6PathMtuDiscovery::DONT),
    };
    discovery.unwrap();
    socket
}

/// The path MTU that the kernel knows for a connected socket.
fn path_mtu(socket: &UdpSocket) -> u32 {
    let is_ipv4 = socket.local_addr().unwrap().is_ipv4();
    if is_ipv4 { ip_mtu(socket).unwrap() } else { ipv6_mtu(socket).unwrap() }
}

/// Bytes of IP and UDP headers.
fn headers(address: IpAddr) -> usize {
    if address.is_ipv4() { 28 } else { 48 }
}

fn send(near: &UdpSocket, size: usize) -> io::Result<usize> {
    near.send(&vec![7; size])
}

fn is_too_large(sent: &io::Result<usize>) -> bool {
    sent.as_ref().is_err_and(|error| error.raw_os_error() == Some(90)) // EMSGSIZE
}

/// Whether `count` datagrams of `size` bytes come.
fn come(to: &UdpSocket, count: usize, size: usize) -> bool {
    (0..count).all(|_| to.recv(&mut vec![0; 65536]).is_ok_and(|length| length == size))
}

/// Sends until something of this size comes: IPv6 packets are fragmented by their sender alone, which learns by losing one.
#[track_caller]
fn learn(near: &UdpSocket, far: &UdpSocket, size: usize) {
    far.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let arrives = || send(near, size).is_ok() && come(far, 1, size);
    assert!(wait_until(DEADLINE, arrives), "{size} bytes");
}

/// Sends a datagram that must not be fragmented and is too large for the way: the first is refused on the way, by
/// `reporter` with `mtu`; then the sender knows; what fits just so arrives.
#[track_caller]
fn assert_learned(task: &Task, from: IpAddr, far: &UdpSocket, reporter: &str, mtu: u16) {
    let to = far.local_addr().unwrap();
    let errors = IcmpErrors::listen(&inside(task), from.is_ipv4());
    let near = connected(&inside(task), from, to, Oversize::Refuse);
    send(&near, 8000).unwrap();
    let kind = if from.is_ipv4() { (3, 4) } else { (2, 0) };
    let wanted =
        IcmpError { from: parse(reporter), kind, mtu: mtu.into(), source: from, destination: to.ip() };
    assert_eq!(errors.next(), wanted);
    assert!(is_too_large(&send(&near, 8000)), "the sender knows");
    assert_eq!(path_mtu(&near), u32::from(mtu));
    // The error that waits for whoever asks.
    near.take_error().unwrap();
    let fits = usize::from(mtu) - headers(from);
    assert!(is_too_large(&send(&near, fits + 1)));
    near.take_error().unwrap();
    send(&near, fits).unwrap();
    assert!(come(far, 1, fits));
}

/// Both addresses of a task.
fn addresses(task: &Task) -> [IpAddr; 2] {
    [ipv4(task), ipv6(task)]
}

#[test]
fn a_sender_learns_what_the_hosts_way_out_carries() {
    learns_from(1500, 9001, SHOP_GATEWAY, 1500);
}

#[test]
fn a_sender_learns_of_the_least_that_ipv6_works_on() {
    learns_from(1280, 9001, SHOP_GATEWAY, 1280);
}

#[test]
fn a_sender_learns_what_a_link_beyond_the_host_carries() {
    learns_from(9001, 1500, EXCHANGE, 1500);
}

#[track_caller]
fn learns_from(near: u32, far: u32, reporter: [&str; 2], mtu: u16) {
    let host = host();
    let outside = Outside::new(&host, near, far);
    let task = host.create("web", "shop/a");
    for ((from, to), reporter) in addresses(&task).into_iter().zip(SERVER).zip(reporter) {
        let server = udp(&outside.server, parse(to), 5001);
        assert_learned(&task, from, &server, reporter, mtu);
    }
    flush(&host);
    assert_closed(&host);
    let records = records(&host);
    // A VPC does not log what its own router says.
    let is_router = reporter == SHOP_GATEWAY;
    for ((from, reporter), protocol) in addresses(&task).into_iter().zip(reporter).zip([ICMP, ICMPV6]) {
        // The one that was refused left the ENI, too; those that the sender refused did not.
        let to_server = |record: &_| to_port(UDP, 5001)(record) && record.srcaddr == Some(from);
        let refused = 8000 + headers(from) as u64;
        assert_eq!(
            total(&records, "web", Direction::Egress, to_server),
            (2, refused + u64::from(mtu)),
            "{from}"
        );
        // As much of it as fits 576 bytes (RFC 1812 section 4.3.2.3) or 1,280 (RFC 4443 section 3.2).
        let bytes = if from.is_ipv4() { 576 } else { 1280 };
        let error = between(protocol, parse(reporter), from);
        let recorded = if is_router { (0, 0) } else { (1, bytes) };
        assert_eq!(total(&records, "web", Direction::Ingress, error), recorded, "{from}");
    }
    let not_logged = counters(&host, "web").ingress.unwrap().not_logged.unwrap();
    let counted = if is_router { (2, 576 + 1280) } else { (0, 0) };
    assert_eq!((not_logged.packets, not_logged.bytes), counted);
}

#[test]
fn tcp_gets_through_in_both_directions() {
    for (near, far) in [(1500, 9001), (9001, 1500), (1280, 9001)] {
        let host = host();
        let outside = Outside::new(&host, near, far);
        let task = host.create("web", "shop/a");
        for to in SERVER {
            let to = SocketAddr::new(parse(to), 8080);
            transfer(&inside(&task), &outside.server, to, 4 * MEBIBYTE);
            let listener = tcp_listen(&outside.server, to.ip(), 8081);
            let near = tcp_connect(&inside(&task), SocketAddr::new(to.ip(), 8081));
            let (far, _) = accept(&listener);
            send_bytes(far, near, 4 * MEBIBYTE);
        }
        assert_closed(&host);
    }
}

#[test]
fn datagrams_that_may_be_fragmented_get_through() {
    for (near, far) in [(1500, 9001), (9001, 1500)] {
        let host = host();
        let outside = Outside::new(&host, near, far);
        let task = host.create("web", "shop/a");
        // Within the ENI's MTU, and beyond it: then the task sends fragments already.
        for (port, size) in [(5001, 8000), (5002, 20_000)] {
            let server = udp(&outside.server, parse(SERVER[0]), port);
            let near =
                connected(&inside(&task), ipv4(&task), server.local_addr().unwrap(), Oversize::Fragment);
            send_datagrams(&near, &server, 3, size);
            let [first, server] = [0, 100].map(|more| udp(&outside.server, parse(SERVER[1]), port + more));
            let connected = |to: &UdpSocket| {
                connected(&inside(&task), ipv6(&task), to.local_addr().unwrap(), Oversize::Fragment)
            };
            learn(&connected(&first), &first, size);
            send_datagrams(&connected(&server), &server, 3, size);
        }
        assert_closed(&host);
    }
}

#[test]
fn segmented_buffers_larger_than_the_way_out_are_not_lost_in_silence() {
    let host = host();
    let outside = Outside::new(&host, 1500, 9001);
    let task = host.create("web", "shop/a");
    // IPv4 segments that may be fragmented are, as long as the sender does not know better.
    let server = udp(&outside.server, parse(SERVER[0]), 5002);
    let near = connected(&inside(&task), ipv4(&task), server.local_addr().unwrap(), Oversize::Fragment);
    segment(&near, 8000);
    send(&near, 56_000).unwrap();
    assert!(come(&server, 7, 8000));
    for ((from, to), reporter) in addresses(&task).into_iter().zip(SERVER).zip(SHOP_GATEWAY) {
        let server = udp(&outside.server, parse(to), 5001);
        let to = server.local_addr().unwrap();
        // Segments that fit pass, however large the buffer is.
        let near = connected(&inside(&task), from, to, Oversize::Refuse);
        segment(&near, 1200);
        send(&near, 48_000).unwrap();
        assert!(come(&server, 40, 1200), "{to}");
        // Segments that don't are refused as one packet would be.
        let errors = IcmpErrors::listen(&inside(&task), from.is_ipv4());
        segment(&near, 8000);
        send(&near, 56_000).unwrap();
        let error = errors.next();
        assert_eq!((error.from, error.mtu, error.source), (parse(reporter), 1500, from));
        assert!(wait_until(DEADLINE, || is_too_large(&send(&near, 56_000))), "the sender knows");
    }
    assert_closed(&host);
}

#[test]
fn a_connection_outlives_changes_of_the_way_out() {
    let host = host();
    let outside = Outside::new(&host, 9001, 9001);
    let task = host.create("web", "shop/a");
    for to in SERVER {
        let to = SocketAddr::new(parse(to), 8080);
        let listener = tcp_listen(&outside.server, to.ip(), to.port());
        let near = tcp_connect(&inside(&task), to);
        let (far, _) = accept(&listener);
        for mtu in [9001, 1500, 1300, 9001] {
            outside.set_near(&host, mtu);
            for (from, to) in [(&near, &far), (&far, &near)] {
                pass(from, to, MEBIBYTE);
            }
        }
    }
    assert_closed(&host);
}

/// Sends over a connection that goes on.
#[track_caller]
fn pass(mut from: &std::net::TcpStream, mut to: &std::net::TcpStream, size: usize) {
    use std::io::{Read as _, Write as _};
    std::thread::scope(|scope| {
        scope.spawn(move || from.write_all(&vec![7; size]).unwrap());
        let mut received = vec![0; size];
        to.read_exact(&mut received).unwrap();
        assert!(received.iter().all(|byte| *byte == 7));
    });
}

#[test]
fn an_eni_of_a_smaller_mtu_is_reached() {
    let host = host();
    let large = host.create("large", "red/b");
    let small = host.create_as(&CreateTaskRequest { mtu: Some(1500), ..new_task("small", "red/a") }).unwrap();
    // A buffer of segments that are each too large, and may be fragmented.
    let server = udp(&inside(&small), ipv4(&small), 5002);
    let near = connected(&inside(&large), ipv4(&large), server.local_addr().unwrap(), Oversize::Fragment);
    segment(&near, 8000);
    send(&near, 56_000).unwrap();
    assert!(come(&server, 7, 8000));
    for ((from, to), reporter) in addresses(&large).into_iter().zip(addresses(&small)).zip(RED_GATEWAY) {
        let server = udp(&inside(&small), to, 5001);
        assert_learned(&large, from, &server, reporter, 1500);
        transfer(&inside(&large), &inside(&small), SocketAddr::new(to, 8080), MEBIBYTE);
        transfer(&inside(&small), &inside(&large), SocketAddr::new(from, 8080), MEBIBYTE);
        // What may be fragmented is.
        let near = connected(&inside(&large), from, server.local_addr().unwrap(), Oversize::Fragment);
        send_datagrams(&near, &server, 3, 8000);
    }
    flush(&host);
    assert_closed(&host);
    let records = records(&host);
    for (from, to) in addresses(&large).into_iter().zip(addresses(&small)) {
        let datagrams = |record: &_| between(UDP, from, to)(record) && to_port(UDP, 5001)(record);
        let sent = total(&records, "large", Direction::Egress, datagrams);
        let came = total(&records, "small", Direction::Ingress, datagrams);
        let refused = 8000 + headers(from) as u64;
        // Three were fragmented by the sender, who knew by then: 8,008 bytes with the UDP header in six fragments, of 1,480
        // bytes (RFC 791), or of 1,448 with a header of 8 more (RFC 8200 section 4.5).
        let whole = 8008 + 6 * if from.is_ipv4() { 20 } else { 48 };
        assert_eq!(sent, (2 + 3 * 6, refused + 1500 + 3 * whole));
        assert_eq!(came, (1 + 3 * 6, 1500 + 3 * whole));
    }
}

#[test]
fn errors_of_the_host_come_from_the_gateway_of_the_subnet() {
    let host = host();
    // The host has no way out, so it says that nobody can be reached.
    let task = host.create("web", "shop/a");
    let subnet =
        r#"subnet = [{ name = "a", zone = "zone-a", ipv4_cidr = "10.1.0.0/24", ipv6_cidr = "fd00:b::/64" }"#;
    let another =
        r#", { name = "b", zone = "zone-b", ipv4_cidr = "10.1.1.0/24", ipv6_cidr = "fd00:b:0:1::/64" }"#;
    // Both VPCs of these blocks have it from now on.
    let with_another = crate::networks::NETWORKS.replace(subnet, &format!("{subnet}{another}"));
    assert_eq!(host.apply(&with_another).len(), 2);
    let later = host.create("later", "shop/b");
    let gateways = [SHOP_GATEWAY, ["10.1.1.1", "fd00:b:0:1::1"]];
    for (task, gateways) in [&task, &later].into_iter().zip(gateways) {
        for ((from, to), gateway) in addresses(task).into_iter().zip(SERVER).zip(gateways) {
            let errors = IcmpErrors::listen(&inside(task), from.is_ipv4());
            let to = SocketAddr::new(parse(to), 80);
            let unreachable = try_tcp_connect(&inside(task), to).unwrap_err().kind();
            let at_once = [io::ErrorKind::HostUnreachable, io::ErrorKind::NetworkUnreachable];
            assert!(at_once.contains(&unreachable), "{to}: {unreachable}");
            let error = errors.next();
            assert_eq!(
                (error.from, error.source, error.destination),
                (parse(gateway), from, to.ip()),
                "{error:?}"
            );
        }
    }
    assert_closed(&host);
}
