//! From a task nothing of the host is reachable but what its routes and rules allow.

use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::thread;
use std::time::Duration;

use enid::ForwardingMode;
use enid_api::v1::Task;
use enid_netns::Namespace;
use enid_testbed::Host;
use enid_testbed::namespace::{command, inside as run_inside, output};
use enid_testbed::traffic::{no_ping, ping, tcp_connect, tcp_listen, try_tcp_connect, udp};

use super::lab::{self, create};
use crate::networks::{NETWORKS, inside, router};
use crate::uplink::{HOST, OUTSIDE, outside};

super::both_ways!(
    the_router_answers_nothing_but_echo,
    services_of_the_host_are_not_reached,
    an_agent_of_the_host_is_not_the_tasks,
    nobody_outside_reaches_a_router,
);

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The host's and the router's address on the way out of a VPC, over IPv4 and IPv6.
fn transit(host: &Host, vpc: &str) -> [[IpAddr; 2]; 2] {
    let within = router(host, vpc);
    let default = |family| {
        let routes = command(&within, &["ip", "-j", family, "route", "show", "default"]);
        let routes: Vec<serde_json::Value> = serde_json::from_str(&routes).unwrap();
        let gateway = routes.iter().find_map(|route| route["gateway"].as_str()).unwrap().to_owned();
        let own = command(&within, &["ip", "-j", family, "address", "show", "dev", "uplink"]);
        let own: Vec<serde_json::Value> = serde_json::from_str(&own).unwrap();
        let own = own[0]["addr_info"].as_array().unwrap();
        let own = own.iter().find(|info| info["scope"] == "global").unwrap();
        [address(&gateway), address(own["local"].as_str().unwrap())]
    };
    [default("-4"), default("-6")]
}

/// Asserts that neither a connection nor a datagram of the task's reaches a service of a namespace on a port, at any
/// of these addresses, though the service hears who is in the namespace itself.
#[track_caller]
fn assert_unreached(task: &Task, server: &Namespace, addresses: &[IpAddr], port: u16) {
    let everywhere = [address("0.0.0.0"), address("::")];
    let v6_only = |namespace: &Namespace| {
        run_inside(namespace, || std::fs::write("/proc/sys/net/ipv6/bindv6only", "1")).unwrap();
    };
    v6_only(server);
    let listeners: Vec<TcpListener> = everywhere.iter().map(|any| tcp_listen(server, *any, port)).collect();
    let sockets: Vec<UdpSocket> = everywhere.iter().map(|any| udp(server, *any, port)).collect();
    tcp_connect(server, SocketAddr::new(address("127.0.0.1"), port));
    thread::scope(|scope| {
        for to in addresses {
            scope.spawn(move || {
                let to = SocketAddr::new(*to, port);
                assert!(try_tcp_connect(&inside(task), to).is_err(), "{to} is reached");
            });
            scope.spawn(move || {
                let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let socket = run_inside(&inside(task), || UdpSocket::bind(any)).unwrap();
                for _ in 0..3 {
                    // Told that there is no way, or not.
                    let _ = socket.send_to(b"anybody?", SocketAddr::new(*to, port));
                }
            });
        }
    });
    for socket in sockets {
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let mut datagram = [0; 16];
        let heard = socket.recv_from(&mut datagram);
        assert!(heard.is_err(), "a datagram of {heard:?} is heard");
    }
    drop(listeners);
}

fn the_router_answers_nothing_but_echo(forwarding: ForwardingMode) {
    let host = lab::host(forwarding);
    host.apply(NETWORKS);
    let _outside = outside(&host);
    let (lab_task, shop) = (create(&host, "task", "b", &["open"]), host.create("shop", "shop/a"));
    // The gateways of both subnets, and what is only the router's own.
    let own = ["10.5.0.1", "10.5.1.1", "fd00:e::1", "fd00:e:0:1::1", "127.0.0.1", "::1"].map(address);
    assert_unreached(&lab_task, &router(&host, "lab"), &own[..4], 7070);
    for gateway in &own[..4] {
        assert!(ping(&inside(&lab_task), *gateway, 2, 56), "{gateway}");
    }
    let [[_, ipv4], [_, ipv6]] = transit(&host, "shop");
    assert_unreached(
        &shop,
        &router(&host, "shop"),
        &[ipv4, ipv6, address("10.1.0.1"), address("fd00:b::1")],
        7071,
    );
}

fn services_of_the_host_are_not_reached(forwarding: ForwardingMode) {
    let host = lab::host(forwarding);
    host.apply(NETWORKS);
    let _outside = outside(&host);
    // As a host that runs other agents may have it.
    command(host.namespace(), &["sysctl", "-qw", "net.ipv4.conf.all.route_localnet=1"]);
    let (shop, bank) = (host.create("shop", "shop/a"), host.create("bank", "bank/a"));
    let [shop_transit, bank_transit] = ["shop", "bank"].map(|vpc| transit(&host, vpc));
    let mut addresses: Vec<IpAddr> = HOST.iter().map(|text| address(text)).collect();
    addresses.extend(shop_transit.iter().chain(&bank_transit).map(|[host, _]| *host));
    assert_unreached(&shop, host.namespace(), &addresses, 7070);
    // It is there, for whoever asks.
    for own in HOST {
        assert!(ping(&inside(&shop), address(own), 1, 56), "{own}");
    }
    // What is between it and the routers is not; nor is another VPC's router, though the host has a route to it.
    for (task, other) in [(&shop, bank_transit), (&bank, shop_transit)] {
        for [of_host, of_router] in other {
            assert!(no_ping(&inside(task), of_host), "{of_host}");
            assert!(no_ping(&inside(task), of_router), "{of_router}");
        }
    }
    for [of_host, _] in shop_transit {
        assert!(no_ping(&inside(&shop), of_host), "{of_host}");
    }
    let [[_, ipv4], [_, ipv6]] = bank_transit;
    assert_unreached(&shop, &router(&host, "bank"), &[ipv4, ipv6], 7072);
    for own in OUTSIDE {
        assert!(ping(&inside(&shop), address(own), 1, 56), "{own}");
    }
}

/// An agent that serves credentials on the host's loopback, and has the host's firewall lead link-local addresses and a
/// port of the host's there.
const AGENT: &str = "table ip agent {
    chain prerouting {
        type nat hook prerouting priority dstnat;
        ip daddr 169.254.170.2 tcp dport 80 dnat to 127.0.0.1:51679
        ip daddr 169.254.169.253 tcp dport 80 dnat to 127.0.0.1:51679
        ip daddr 192.0.2.1 tcp dport 8080 dnat to 127.0.0.1:51679
    }
}";

fn an_agent_of_the_host_is_not_the_tasks(forwarding: ForwardingMode) {
    let host = lab::host(forwarding);
    host.apply(NETWORKS);
    let outside = outside(&host);
    command(host.namespace(), &["sysctl", "-qw", "net.ipv4.conf.all.route_localnet=1"]);
    command(host.namespace(), &["nft", AGENT]);
    let _agent = tcp_listen(host.namespace(), address("127.0.0.1"), 51_679);
    // For others it works.
    tcp_connect(&outside, SocketAddr::new(address(HOST[0]), 8080));
    let shop = host.create("shop", "shop/a");
    thread::scope(|scope| {
        for to in ["169.254.170.2:80", "169.254.169.253:80", "192.0.2.1:8080", "192.0.2.1:51679"] {
            let shop = &shop;
            scope.spawn(move || {
                let reached = try_tcp_connect(&inside(shop), to.parse().unwrap());
                assert!(reached.is_err(), "{to} is reached");
            });
        }
    });
}

fn nobody_outside_reaches_a_router(forwarding: ForwardingMode) {
    let host = lab::host(forwarding);
    host.apply(NETWORKS);
    let outside = outside(&host);
    let shop = host.create("shop", "shop/a");
    for (transit, way) in transit(&host, "shop").into_iter().zip(HOST) {
        let [_, of_router] = transit;
        let family = if of_router.is_ipv4() { "-4" } else { "-6" };
        command(&outside, &["ip", family, "route", "add", &of_router.to_string(), "via", way]);
        // The host knows the way, and does not let it be gone.
        assert!(no_ping(&outside, of_router), "{of_router}");
    }
    assert!(output(&outside, &["ip", "-4", "route", "add", "10.1.0.0/16", "via", HOST[0]]).status.success());
    assert!(no_ping(&outside, crate::networks::ipv4(&shop)));
    assert!(ping(&inside(&shop), address(OUTSIDE[0]), 1, 56));
}
