//! The way out of a VPC.

use std::net::{IpAddr, SocketAddr};

use enid_netns::Namespace;
use enid_testbed::namespace::{self, command};
use enid_testbed::traffic::{
    accept, no_ping, ping, send_bytes, send_datagrams, tcp_connect, tcp_listen, try_tcp_connect, udp,
};
use enid_testbed::{Host, new_task};

use crate::ledger::assert_closed;
use crate::networks::{host, inside, ipv4, ipv6, router, vpc};

pub(crate) const HOST: [&str; 2] = ["192.0.2.1", "2001:db8::1"];
pub(crate) const OUTSIDE: [&str; 2] = ["192.0.2.2", "2001:db8::2"];

/// A namespace that the host reaches by its default route.
pub(crate) fn outside(host: &Host) -> Namespace {
    let path = host.folder().join("outside");
    let outside = namespace::create(&path);
    let path = path.display().to_string();
    let on_host = |arguments: &[&str]| command(host.namespace(), arguments);
    on_host(&["ip", "link", "add", "wan", "type", "veth", "peer", "name", "wan", "netns", &path]);
    for (end, addresses) in [(host.namespace(), HOST), (&outside, OUTSIDE)] {
        command(end, &["ip", "addr", "add", &format!("{}/24", addresses[0]), "dev", "wan"]);
        command(end, &["ip", "addr", "add", &format!("{}/64", addresses[1]), "dev", "wan", "nodad"]);
        command(end, &["ip", "link", "set", "wan", "up"]);
    }
    on_host(&["ip", "route", "add", "default", "via", OUTSIDE[0]]);
    on_host(&["ip", "-6", "route", "add", "default", "via", OUTSIDE[1]]);
    outside
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn nat_reaches_the_outside_from_two_vpcs_with_the_same_addresses_at_once() {
    let host = host();
    let outside = outside(&host);
    let (shop, bank) = (host.create("shop", "shop/a"), host.create("bank", "bank/a"));
    assert_eq!((ipv4(&shop), ipv6(&shop)), (ipv4(&bank), ipv6(&bank)));
    for (to, masqueraded) in OUTSIDE.iter().zip(HOST) {
        let to = SocketAddr::new(address(to), 8080);
        let listener = tcp_listen(&outside, to.ip(), to.port());
        // The same source port, too: only the uplink tells them apart.
        let connections: Vec<_> = [&shop, &bank]
            .into_iter()
            .map(|task| {
                let near = tcp_connect(&inside(task), to);
                let (far, peer) = accept(&listener);
                assert_eq!(peer.ip(), address(masqueraded), "the outside sees the host");
                (near, far)
            })
            .collect();
        for (near, far) in connections {
            send_bytes(near, far, 1 << 20);
        }
        for task in [&shop, &bank] {
            assert!(ping(&inside(task), to.ip(), 2, 56));
        }
        // And back: datagrams that answer find their way.
        let service = udp(&outside, to.ip(), 53);
        let of_shop = udp(&inside(&shop), if to.is_ipv4() { ipv4(&shop) } else { ipv6(&shop) }, 5353);
        let of_bank = udp(&inside(&bank), if to.is_ipv4() { ipv4(&bank) } else { ipv6(&bank) }, 5353);
        for (socket, word) in [(&of_shop, b"shop"), (&of_bank, b"bank")] {
            socket.send_to(word, SocketAddr::new(to.ip(), 53)).unwrap();
            let mut heard = [0; 4];
            let (_, peer) = service.recv_from(&mut heard).unwrap();
            assert_eq!(&heard, word);
            service.send_to(&heard, peer).unwrap();
        }
        for (socket, word) in [(&of_shop, b"shop"), (&of_bank, b"bank")] {
            let mut heard = [0; 4];
            socket.recv(&mut heard).unwrap();
            assert_eq!(&heard, word);
        }
    }
    assert_closed(&host);
}

#[test]
fn large_datagrams_leave_in_fragments() {
    let host = host();
    let outside = outside(&host);
    let task = host.create("shop", "shop/a");
    for (from, to) in [(ipv4(&task), OUTSIDE[0]), (ipv6(&task), OUTSIDE[1])] {
        let (near, far) = (udp(&inside(&task), from, 5000), udp(&outside, address(to), 5001));
        far.set_read_timeout(Some(std::time::Duration::from_millis(200))).unwrap();
        let whole = || {
            // The first is refused by the uplink of 1,500 bytes, whose answer the sender learns from.
            let sent = near.send_to(&[7; 8000], far.local_addr().unwrap());
            sent.is_ok() && far.recv(&mut [0; 8001]).is_ok_and(|length| length == 8000)
        };
        assert!(enid_testbed::wait_until(enid_testbed::DEADLINE, whole), "{to}");
    }
    assert_closed(&host);
}

#[test]
fn nat_leads_neither_to_the_host_nor_to_other_vpcs() {
    let host = host();
    let _outside = outside(&host);
    let (shop, bank) = (host.create("shop", "shop/a"), host.create("bank", "bank/a"));
    // Only the other VPC has this one.
    let bank_only =
        enid_api::v1::CreateTaskRequest { ipv4: Some("10.1.0.99".to_owned()), ..new_task("only", "bank/a") };
    let bank_only = host.create_as(&bank_only).unwrap();
    assert!(ping(&inside(&bank), ipv4(&bank_only), 1, 56));
    assert!(no_ping(&inside(&shop), ipv4(&bank_only)));
    assert!(no_ping(&inside(&shop), ipv6(&bank_only)));

    let wildcard = [address("0.0.0.0"), address("::")];
    let services =
        [tcp_listen(host.namespace(), wildcard[0], 7070), tcp_listen(host.namespace(), wildcard[1], 7071)];
    let transit = command(&router(&host, "shop"), &["ip", "-j", "route", "show", "default"]);
    let transit: Vec<serde_json::Value> = serde_json::from_str(&transit).unwrap();
    let transit = transit[0]["gateway"].as_str().unwrap();
    let other = command(&router(&host, "bank"), &["ip", "-j", "route", "show", "default"]);
    let other: Vec<serde_json::Value> = serde_json::from_str(&other).unwrap();
    let other = other[0]["gateway"].as_str().unwrap();
    std::thread::scope(|scope| {
        for (service, to) in [(0, HOST[0]), (1, HOST[1]), (0, transit), (0, other)] {
            let port = services[service].local_addr().unwrap().port();
            let shop = &shop;
            scope.spawn(move || {
                let reached = try_tcp_connect(&inside(shop), SocketAddr::new(address(to), port));
                assert!(reached.is_err(), "{to} is reached");
            });
        }
    });
    // The host reaches its own.
    tcp_connect(host.namespace(), SocketAddr::new(address(HOST[0]), 7070));
    assert_closed(&host);
}

#[test]
fn datagrams_of_the_host_itself_leave_unchanged() {
    let host = host();
    let outside = outside(&host);
    host.create("shop", "shop/a");
    let (near, far) =
        (udp(host.namespace(), address(HOST[0]), 5000), udp(&outside, address(OUTSIDE[0]), 5001));
    send_datagrams(&near, &far, 3, 100);
}

#[test]
fn without_an_uplink_the_outside_is_unreachable() {
    let host = host();
    let _outside = outside(&host);
    let task = host.create("web", "red/a");
    for to in OUTSIDE {
        let error = try_tcp_connect(&inside(&task), SocketAddr::new(address(to), 80)).unwrap_err();
        let kind = error.kind();
        let at_once = [std::io::ErrorKind::HostUnreachable, std::io::ErrorKind::NetworkUnreachable];
        assert!(at_once.contains(&kind), "{to}: {error}");
    }
    assert_closed(&host);
}

#[test]
fn an_uplink_can_be_given_and_taken() {
    let host = host();
    let outside = outside(&host);
    let task = host.create("web", "red/a");
    let reaches = || OUTSIDE.map(|to| ping(&inside(&task), address(to), 1, 56));
    assert!(OUTSIDE.iter().all(|to| no_ping(&inside(&task), address(to))));
    let with_nat = crate::networks::NETWORKS.replacen("uplink = \"none\"", "uplink = \"nat\"", 1);
    assert_eq!(host.apply(&with_nat).len(), 1);
    assert_eq!(vpc(&host, "red").uplink, "nat");
    assert_eq!(reaches(), [true, true]);
    assert_eq!(host.apply(crate::networks::NETWORKS).len(), 1);
    assert!(OUTSIDE.iter().all(|to| no_ping(&inside(&task), address(to))));
    assert_eq!(host.apply(&with_nat).len(), 1);
    assert_eq!(reaches(), [true, true]);
    drop(outside);
    assert_closed(&host);
}
