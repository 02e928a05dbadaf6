//! Requests against the running kernel: an ENI's link, addresses, routes and neighbours in namespaces of their own.
//! These need root and fail without it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;

use enid_model::{GsoMaxSize, GsoMaxSizes, MacAddress};
use enid_netns::{
    Inventory, LinkEnd, Namespace, Netlink, NetnsError, Request, RouteKind, RouteOut, Way, sysctl, unmount,
};

const INDEX: u32 = 1_000_001;

/// A namespace with a name, which goes with the value.
struct Named {
    path: PathBuf,
    namespace: Namespace,
    netlink: Netlink,
}

impl Named {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("enid-netns-{name}-{}", std::process::id()));
        let (namespace, netlink) = Namespace::create(Netlink::open).unwrap();
        namespace.bind(&path).unwrap();
        Self { path, namespace, netlink }
    }

    fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.namespace.run::<_, NetnsError>(|| Ok(work())).unwrap()
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        unmount(&self.path).unwrap();
    }
}

/// The sizes of one end: not the same in both families, nor on both ends.
fn sizes(ipv4: u32, ipv6: u32) -> GsoMaxSizes {
    GsoMaxSizes { ipv4: GsoMaxSize::nearest(ipv4), ipv6: GsoMaxSize::nearest(ipv6) }
}

fn veth(task: &Named) -> Request {
    Request::NewVeth {
        end: LinkEnd {
            name: "eni1".into(),
            index: Some(INDEX),
            mac: Some(MacAddress::ROUTER),
            mtu: 9001,
            gso: sizes(524_280, 131_072),
            namespace: None,
        },
        peer: LinkEnd {
            name: "eth0".into(),
            index: Some(INDEX),
            mac: Some("02:00:00:00:00:05".parse().unwrap()),
            mtu: 9001,
            gso: sizes(196_608, 65_536),
            namespace: Some(task.namespace.as_fd().as_raw_fd()),
        },
    }
}

#[test]
fn a_pair_is_born_in_both_namespaces_and_carries_a_packet() {
    let mut router = Named::new("router");
    let mut task = Named::new("task");
    let address = |last| Ipv4Addr::new(10, 0, 0, last).into();
    router
        .netlink
        .send(&[
            veth(&task),
            Request::AlternativeName { index: INDEX, name: "eni-0123456789abcdef0".into() },
            Request::Clsact { index: INDEX },
            Request::Up { index: 1 },
            Request::Up { index: INDEX },
            Request::Address { index: 1, address: address(1), prefix: 32 },
            Request::Route {
                destination: address(5),
                prefix: 32,
                kind: RouteKind::Device(INDEX),
                source: Some(address(1)),
            },
            Request::Neighbour {
                index: INDEX,
                address: address(5),
                mac: "02:00:00:00:00:05".parse().unwrap(),
            },
        ])
        .unwrap();
    let gateway = "fe80::1".parse().unwrap();
    task.netlink
        .send(&[
            Request::Address { index: INDEX, address: address(5), prefix: 24 },
            Request::Address { index: INDEX, address: "fd00::5".parse().unwrap(), prefix: 128 },
            Request::Up { index: INDEX },
            Request::Neighbour { index: INDEX, address: address(1), mac: MacAddress::ROUTER },
            Request::Neighbour { index: INDEX, address: gateway, mac: MacAddress::ROUTER },
            Request::Route {
                destination: Ipv4Addr::UNSPECIFIED.into(),
                prefix: 0,
                kind: RouteKind::Gateway(INDEX, address(1)),
                source: None,
            },
            Request::Route {
                destination: "::".parse().unwrap(),
                prefix: 0,
                kind: RouteKind::Gateway(INDEX, gateway),
                source: None,
            },
            Request::Route {
                destination: Ipv4Addr::new(169, 254, 169, 254).into(),
                prefix: 32,
                kind: RouteKind::Unreachable,
                source: None,
            },
        ])
        .unwrap_or_else(|error| panic!("{error}"));

    let server = router.run(|| UdpSocket::bind("10.0.0.1:7").unwrap());
    task.run(|| UdpSocket::bind("10.0.0.5:0").unwrap().send_to(&[1; 8973], "10.0.0.1:7").unwrap());
    let mut buffer = [0; 9001];
    let (length, from) = server.recv_from(&mut buffer).unwrap();
    assert_eq!((length, from.ip()), (8973, address(5)));
    let refused =
        task.run(|| UdpSocket::bind("10.0.0.5:0").unwrap().send_to(&[1], "169.254.169.254:80").unwrap_err());
    assert_eq!(refused.kind(), std::io::ErrorKind::HostUnreachable);
}

#[test]
fn a_refusal_says_what_and_why() {
    let mut router = Named::new("refusal-router");
    let task = Named::new("refusal-task");
    router.netlink.send(&[veth(&task)]).unwrap();
    let error = router.netlink.send(&[veth(&task), Request::Up { index: INDEX }]).unwrap_err().to_string();
    assert!(
        error.starts_with("the kernel refused to create the veth pair eni1 and eth0: File exists"),
        "{error}"
    );
    // What is gone is no error for a removal, and is for everything else.
    router
        .netlink
        .send_removals(&[Request::DeleteLink { index: INDEX }, Request::DeleteLink { index: INDEX }])
        .unwrap();
    let error = router.netlink.send(&[Request::Up { index: INDEX }]).unwrap_err().to_string();
    assert!(error.contains("No such device"), "{error}");
}

#[test]
fn a_group_is_deleted_at_once() {
    let mut router = Named::new("group-router");
    let task = Named::new("group-task");
    router.netlink.send(&[veth(&task), Request::Group { index: INDEX, group: 77 }]).unwrap();
    router.netlink.send(&[Request::DeleteGroup { group: 77 }]).unwrap();
    let names = task.run(|| std::fs::read_to_string("/proc/thread-self/net/dev").unwrap());
    assert!(!names.contains("eth0"), "{names}");
}

#[test]
fn the_inventory_lists_links_and_knows_what_is_gone() {
    let mut router = Named::new("inventory-router");
    let task = Named::new("inventory-task");
    router.netlink.send(&[veth(&task)]).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    runtime.block_on(async {
        let inventory = Inventory::open(&router.namespace).unwrap();
        let names: Vec<String> = inventory.links().await.unwrap().into_iter().map(|link| link.name).collect();
        assert_eq!(names, ["lo", "eni1"]);
        let end = inventory.link(INDEX).await.unwrap().unwrap();
        assert_eq!((end.mtu, end.gso), (9001, sizes(524_280, 131_072)));
        assert_eq!(inventory.link(INDEX + 1).await.unwrap(), None);
        let peer = Inventory::open(&task.namespace).unwrap().link(INDEX).await.unwrap().unwrap();
        assert_eq!((peer.mtu, peer.gso), (9001, sizes(196_608, 65_536)));
    });
}

#[test]
fn both_ends_of_a_pair_are_counted_wherever_the_other_is() {
    let mut router = Named::new("pair-router");
    let mut task = Named::new("pair-task");
    let elsewhere = Named::new("pair-elsewhere");
    let address = |last| Ipv4Addr::new(10, 0, 0, last).into();
    let up = |last| {
        let own = Request::Address { index: INDEX, address: address(last), prefix: 32 };
        let kind = RouteKind::Device(INDEX);
        let other = Request::Route { destination: address(6 - last), prefix: 32, kind, source: None };
        [own, Request::Up { index: INDEX }, other]
    };
    router.netlink.send(&[veth(&task)]).unwrap();
    router.netlink.send(&up(1)).unwrap();
    task.netlink.send(&up(5)).unwrap();
    let server = task.run(|| UdpSocket::bind("10.0.0.5:7").unwrap());
    let client = router.run(|| UdpSocket::bind("10.0.0.1:0").unwrap());
    for _ in 0..3 {
        client.send_to(&[1; 100], "10.0.0.5:7").unwrap();
        server.recv(&mut [0; 100]).unwrap();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let pairs = |index: u32| {
        Inventory::list_pairs(&router.namespace, runtime.handle(), |found| found == index).unwrap()
    };
    // What one end sends the other receives. The kernel may send something of its own between the two questions.
    let is_mirrored = || {
        let pair = pairs(INDEX).pop().unwrap();
        let (near, far) = (pair.near, pair.far.unwrap());
        assert!(near.tx_packets >= 3 && near.tx_bytes >= 3 * 142, "{pair:?}");
        (far.rx_packets, far.rx_bytes, far.tx_packets, far.tx_bytes)
            == (near.tx_packets, near.tx_bytes, near.rx_packets, near.rx_bytes)
    };
    assert!((0..1_000).any(|_| is_mirrored()));
    assert_eq!(pairs(INDEX + 1), []);

    // Moved on, and its old namespace gone.
    let fd = format!("/proc/{}/fd/{}", std::process::id(), elsewhere.namespace.as_fd().as_raw_fd());
    task.run(|| {
        let moved = std::process::Command::new("ip").args(["link", "set", "eth0", "netns", &fd]).status();
        assert!(moved.unwrap().success());
    });
    drop((task, server));
    assert!((0..1_000).any(|_| is_mirrored()));
}

#[test]
fn the_way_of_a_packet_is_the_kernels_and_the_last_resort_comes_last() {
    let mut router = Named::new("way-router");
    let task = Named::new("way-task");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_io().build().unwrap();
    let address = |text: &str| text.parse::<IpAddr>().unwrap();
    let route = |destination: &str, prefix, kind| Request::Route {
        destination: address(destination),
        prefix,
        kind,
        source: None,
    };
    router.run(|| {
        sysctl::set("ipv4/ip_forward", "1").unwrap();
        sysctl::set("ipv6/conf/all/forwarding", "1").unwrap();
        sysctl::set("ipv4/conf/all/rp_filter", "0").unwrap();
        sysctl::set("ipv4/conf/default/rp_filter", "0").unwrap();
    });
    let up = [veth(&task), Request::Up { index: 1 }, Request::Up { index: INDEX }];
    router.netlink.send(&up).unwrap();
    let way = |destination: &str| {
        let source = if destination.contains(':') { "fd00::5" } else { "10.0.0.5" };
        Way::find(&router.namespace, runtime.handle(), INDEX, address(source), address(destination)).unwrap()
    };
    let mut netlink = router.run(|| Netlink::open().unwrap());
    for (own, host, network, beyond) in
        [("10.0.0.1", "10.0.0.9", "10.0.0.0", "192.0.2.1"), ("fd00::1", "fd00::9", "fd00::", "2001:db8::1")]
    {
        let (alone, block) = if own.contains(':') { (128, 64) } else { (32, 24) };
        let everywhere = if own.contains(':') { "::" } else { "0.0.0.0" };
        let requests = [
            Request::Address { index: 1, address: address(own), prefix: alone },
            route(host, alone, RouteKind::Device(INDEX)),
            route(network, block, RouteKind::Unreachable),
            route(everywhere, 0, RouteKind::LastResort),
        ];
        netlink.send(&requests).unwrap();
        // The kernel takes an address in by a queue of its own.
        assert!((0..10_000).any(|_| way(own) == Way::Own));
        assert_eq!([own, host, network, beyond].map(way), [Way::Own, Way::Link(INDEX), Way::None, Way::None]);
        // Beside the last resort, whichever comes first.
        netlink.send(&[route(everywhere, 0, RouteKind::Device(INDEX))]).unwrap();
        assert_eq!(way(beyond), Way::Link(INDEX));
        netlink.send(&[route(everywhere, 0, RouteKind::LastResort)]).unwrap();
        assert_eq!(way(beyond), Way::Link(INDEX));
    }
}

#[test]
fn the_inventory_lists_ways_out() {
    let mut router = Named::new("routes-router");
    let task = Named::new("routes-task");
    let route = |destination: &str, prefix, gateway: &str| Request::Route {
        destination: destination.parse().unwrap(),
        prefix,
        kind: RouteKind::Gateway(INDEX, gateway.parse().unwrap()),
        source: None,
    };
    let address =
        |address: &str, prefix| Request::Address { index: INDEX, address: address.parse().unwrap(), prefix };
    let requests = [
        veth(&task),
        Request::Up { index: 1 },
        address("192.0.2.1", 24),
        address("2001:db8::1", 64),
        Request::Up { index: INDEX },
        route("0.0.0.0", 0, "192.0.2.2"),
        route("::", 0, "2001:db8::2"),
        route("198.51.100.0", 24, "192.0.2.3"),
        Request::Route {
            destination: "10.0.0.0".parse().unwrap(),
            prefix: 8,
            kind: RouteKind::Unreachable,
            source: None,
        },
    ];
    router.netlink.send(&requests).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    let mut ways =
        runtime.block_on(async { Inventory::open(&router.namespace).unwrap().routes().await.unwrap() });
    // The kernel makes one for link-local addresses by itself.
    ways.retain(|route| route.is_ipv4 || route.prefix == 0);
    ways.sort_by_key(|route| (route.is_ipv4, route.prefix));
    let out = |is_ipv4, prefix, metric| RouteOut { is_ipv4, prefix, metric, link: INDEX, mtu: None };
    assert_eq!(ways, [out(false, 0, 1024), out(true, 0, 0), out(true, 24, 0)]);
}

#[test]
fn a_namespace_is_known_by_its_inode_and_a_file_is_none() {
    let named = Named::new("identity");
    assert_eq!(Namespace::open(&named.path).unwrap().id(), named.namespace.id());
    assert_ne!(Namespace::own().unwrap().id(), named.namespace.id());
    let error = Namespace::open("/proc/self/ns/mnt".as_ref()).unwrap_err();
    assert!(matches!(error, NetnsError::NotANamespace(_)), "{error}");
    let error = Namespace::open("/etc/hostname".as_ref()).unwrap_err();
    assert!(matches!(error, NetnsError::NotANamespace(_)), "{error}");
    let taken = named.namespace.bind(&named.path).unwrap_err();
    assert!(taken.to_string().contains("File exists"), "{taken}");
}

#[test]
fn parameters_are_those_of_the_namespace() {
    let named = Named::new("sysctl");
    let forwarding = named.run(|| {
        sysctl::set("ipv4/ip_forward", "1").unwrap();
        sysctl::get("ipv4/ip_forward").unwrap()
    });
    assert_eq!(forwarding, "1");
    let error = named.run(|| sysctl::set("ipv4/conf/none/rp_filter", "0").unwrap_err().to_string());
    assert!(error.contains("/proc/sys/net/ipv4/conf/none/rp_filter"), "{error}");
}
