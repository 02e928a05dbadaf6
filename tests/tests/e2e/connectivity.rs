//! Who reaches whom.

use std::net::SocketAddr;

use enid_testbed::traffic::{no_ping, ping, send_datagrams, tcp_listen, transfer, try_tcp_connect, udp};
use enid_testbed::{DEADLINE, wait_until};

use crate::ledger::assert_closed;
use crate::networks::{host, inside, ipv4, ipv6};

const MEBIBYTE: usize = 1 << 20;

#[test]
fn tasks_of_a_vpc_reach_each_other_across_subnets() {
    let host = host();
    let (a, b) = (host.create("a", "red/a"), host.create("b", "red/b"));
    let (in_a, in_b) = (inside(&a), inside(&b));
    for (from, to) in [(ipv4(&a), ipv4(&b)), (ipv6(&a), ipv6(&b))] {
        assert!(ping(&in_a, to, 3, 56), "{to}");
        assert!(ping(&in_b, from, 3, 8000), "{from}");
        transfer(&in_a, &in_b, SocketAddr::new(to, 8080), 8 * MEBIBYTE);
        // The largest datagram that fits one packet of 9,001 bytes over IPv4: 20 + 8 bytes of headers.
        let size = if to.is_ipv4() { 8973 } else { 8953 };
        send_datagrams(&udp(&in_a, from, 5000), &udp(&in_b, to, 5001), 10, size);
    }
    assert_closed(&host);
}

#[test]
fn tasks_of_a_subnet_reach_each_other() {
    let host = host();
    let (a, b) = (host.create("a", "red/a"), host.create("b", "red/a"));
    for to in [ipv4(&b), ipv6(&b)] {
        transfer(&inside(&a), &inside(&b), SocketAddr::new(to, 8080), MEBIBYTE);
    }
    assert_closed(&host);
}

#[test]
fn tasks_of_different_mtus_reach_each_other() {
    let host = host();
    let small =
        enid_api::v1::CreateTaskRequest { mtu: Some(1280), ..enid_testbed::new_task("small", "red/a") };
    let (small, large) = (host.create_as(&small).unwrap(), host.create("large", "red/b"));
    for (small_address, large_address) in [(ipv4(&small), ipv4(&large)), (ipv6(&small), ipv6(&large))] {
        transfer(&inside(&small), &inside(&large), SocketAddr::new(large_address, 8080), MEBIBYTE);
        transfer(&inside(&large), &inside(&small), SocketAddr::new(small_address, 8080), MEBIBYTE);
        // Too large for the receiver: the sender is told (ICMP from the router), and fragments from then on.
        let (from, to) =
            (udp(&inside(&large), large_address, 5000), udp(&inside(&small), small_address, 5001));
        let fits = || {
            from.send_to(&[7; 4000], to.local_addr().unwrap()).is_ok() && {
                to.set_read_timeout(Some(std::time::Duration::from_millis(100))).unwrap();
                to.recv(&mut [0; 4001]).is_ok_and(|length| length == 4000)
            }
        };
        assert!(wait_until(DEADLINE, fits), "{small_address}");
    }
    assert_closed(&host);
}

#[test]
fn the_gateway_answers() {
    let host = host();
    let task = host.create("web", "red/a");
    assert!(ping(&inside(&task), "10.0.0.1".parse().unwrap(), 2, 56));
    assert!(ping(&inside(&task), "fd00:a::1".parse().unwrap(), 2, 56));
    assert_closed(&host);
}

#[test]
fn an_address_that_nobody_has_is_unreachable_at_once() {
    let host = host();
    let task = host.create("web", "red/a");
    for nobody in ["10.0.0.200", "10.0.9.9", "fd00:a::200", "fd00:a:0:9::9", "192.0.2.1", "2001:db8::1"] {
        let error =
            try_tcp_connect(&inside(&task), SocketAddr::new(nobody.parse().unwrap(), 80)).unwrap_err();
        let kind = error.kind();
        let at_once = [std::io::ErrorKind::HostUnreachable, std::io::ErrorKind::NetworkUnreachable];
        assert!(at_once.contains(&kind), "{nobody}: {error}");
    }
    assert_closed(&host);
}

#[test]
fn vpcs_with_the_same_addresses_do_not_see_each_other() {
    let host = host();
    let create = |vpc: &str, name: &str, last: &str| {
        let request = enid_api::v1::CreateTaskRequest {
            ipv4: Some(format!("10.0.0.{last}")),
            ipv6: Some(format!("fd00:a::{last}")),
            ..enid_testbed::new_task(&format!("{vpc}-{name}"), &format!("{vpc}/a"))
        };
        host.create_as(&request).unwrap()
    };
    let (red, red_peer) = (create("red", "web", "10"), create("red", "peer", "20"));
    let (blue, blue_peer) = (create("blue", "web", "10"), create("blue", "peer", "20"));
    assert_eq!((ipv4(&red), ipv6(&red)), (ipv4(&blue), ipv6(&blue)));
    for address in [ipv4(&red_peer), ipv6(&red_peer)] {
        let to = SocketAddr::new(address, 8080);
        // Both at once, each to its own.
        std::thread::scope(|scope| {
            scope.spawn(|| transfer(&inside(&red), &inside(&red_peer), to, 2 * MEBIBYTE));
            scope.spawn(|| transfer(&inside(&blue), &inside(&blue_peer), to, MEBIBYTE));
        });
        // A listener in one is not there in the other.
        let listener = tcp_listen(&inside(&red_peer), address, 9090);
        let to = SocketAddr::new(address, 9090);
        try_tcp_connect(&inside(&red), to).unwrap();
        let error = try_tcp_connect(&inside(&blue), to).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused, "{error}");
        drop(listener);
    }
    // Nor by an address that only the other has.
    let only_red = host.create("only-red", "red/b");
    assert!(ping(&inside(&red), ipv4(&only_red), 1, 56));
    assert!(no_ping(&inside(&blue), ipv4(&only_red)));
    assert!(no_ping(&inside(&blue), ipv6(&only_red)));
    assert_closed(&host);
}
