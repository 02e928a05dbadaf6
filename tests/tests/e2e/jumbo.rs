//! Large frames, and buffers that are larger than any frame.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd as _, AsRawFd as _};

use enid::ForwardingMode;
use enid_api::v1::Task;
use enid_flowlog::Direction;
use enid_model::{GsoMaxSize, GsoMaxSizes};
use enid_netns::{Inventory, LinkEnd, Namespace, Netlink, Request};
use enid_testbed::namespace::{self, command, output};
use enid_testbed::traffic::{accept, send_bytes, tcp_connect, tcp_listen, transfer};
use enid_testbed::{DEADLINE, Host, HostOptions, wait_until};

use crate::accounting::segments_sent;
use crate::ledger::{assert_closed, between, flush, records, to_port, total};
use crate::networks::{host, host_as, inside, ipv4, ipv6, number, router};
use crate::outside::{Outside, SERVER, parse};

const TCP: u8 = 6;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
const MEBIBYTE: usize = 1 << 20;

/// Pings with packets that must not be fragmented.
fn ping_whole(from: &Namespace, to: IpAddr, size: u32) -> bool {
    let (size, to) = (size.to_string(), to.to_string());
    let arguments = ["ping", "-q", "-n", "-i", "0.01", "-w", "10", "-c", "3", "-M", "do", "-s", &size, &to];
    output(from, &arguments).status.success()
}

#[test]
fn the_largest_frame_passes_between_enis() {
    let host = host();
    let (a, b) = (host.create("a", "red/a"), host.create("b", "red/b"));
    // 9,001 bytes with ICMP's header and IPv4's or IPv6's.
    for (to, most) in [(ipv4(&b), 8973), (ipv6(&b), 8953)] {
        assert!(ping_whole(&inside(&a), to, most), "{to}");
        assert!(!ping_whole(&inside(&a), to, most + 1), "{to}");
    }
    flush(&host);
    assert_closed(&host);
    let records = records(&host);
    for (protocol, from, to) in [(ICMP, ipv4(&a), ipv4(&b)), (ICMPV6, ipv6(&a), ipv6(&b))] {
        for (task, direction) in [("a", Direction::Egress), ("b", Direction::Ingress)] {
            assert_eq!(total(&records, task, direction, between(protocol, from, to)), (3, 3 * 9001));
            // And what answers them.
        }
        for (task, direction) in [("b", Direction::Egress), ("a", Direction::Ingress)] {
            assert_eq!(total(&records, task, direction, between(protocol, to, from)), (3, 3 * 9001));
        }
    }
}

/// The sizes of a link.
fn sizes(namespace: &Namespace, index: u32) -> GsoMaxSizes {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    let link = runtime.block_on(async { Inventory::open(namespace).unwrap().link(index).await.unwrap() });
    link.expect("a link").gso
}

/// The sizes of a task's ENI, which are the same on both ends.
#[track_caller]
fn sizes_of(host: &Host, task: &Task, vpc: &str) -> GsoMaxSizes {
    let (eth0, host_end) = (sizes(&inside(task), number(task)), sizes(&router(host, vpc), number(task)));
    assert_eq!(eth0, host_end);
    eth0
}

/// Buffers and layer-2 bytes that a task has sent.
fn sent(host: &Host, task: &str) -> (u64, u64) {
    let audit = host.audit().into_iter().find(|eni| eni.task == task).unwrap();
    let ledger = audit.egress.unwrap().interface_ledger.unwrap();
    (ledger.packets, ledger.bytes)
}

#[test]
fn buffers_beyond_64_kib_pass_between_enis_and_are_counted_as_their_segments() {
    let host = host();
    let (a, b) = (host.create("a", "red/a"), host.create("b", "red/b"));
    assert_eq!(sizes_of(&host, &a, "red").ipv4, GsoMaxSize::MAX, "Linux has this since 6.3");
    let segments = segments_sent(&inside(&a));
    let to = SocketAddr::new(ipv4(&b), 8080);
    // How much TCP puts into a buffer is its own affair, and depends on how busy the machine is.
    let are_large = || {
        let before = sent(&host, "a");
        transfer(&inside(&a), &inside(&b), to, 16 * MEBIBYTE);
        let after = sent(&host, "a");
        (after.1 - before.1) / (after.0 - before.0) > 65_536 + 14
    };
    assert!(wait_until(DEADLINE, are_large), "no buffer is larger than 64 KiB");
    transfer(&inside(&a), &inside(&b), SocketAddr::new(ipv6(&b), 8080), 16 * MEBIBYTE);
    flush(&host);
    assert_closed(&host);
    let (packets, _) = total(&records(&host), "a", Direction::Egress, to_port(TCP, 8080));
    assert_eq!(packets, segments_sent(&inside(&a)) - segments);
    assert_eq!(total(&records(&host), "b", Direction::Ingress, to_port(TCP, 8080)).0, packets);
}

#[test]
fn the_configuration_may_say_how_large_buffers_are() {
    for bytes in [65_536, 196_608] {
        let host = host_as(&HostOptions { gso_max_size: Some(bytes), ..Default::default() });
        for (task, subnet, vpc) in [("isolated", "red/a", "red"), ("out", "shop/a", "shop")] {
            let task = host.create(task, subnet);
            assert_eq!(sizes_of(&host, &task, vpc).ipv4.get(), bytes, "{vpc}");
        }
    }
}

#[test]
fn ipv6_has_buffers_beyond_64_kib_where_no_kernel_routes_them_that_can_not() {
    for forwarding in [ForwardingMode::Direct, ForwardingMode::Kernel] {
        let host = host_as(&HostOptions { gso_max_size: Some(524_280), forwarding, ..Default::default() });
        let (a, b) = (host.create("a", "red/a"), host.create("b", "red/b"));
        if forwarding == ForwardingMode::Direct {
            assert_eq!(sizes_of(&host, &a, "red").ipv6, GsoMaxSize::MAX, "Linux has this since 5.19");
        }
        let segments = segments_sent(&inside(&a));
        transfer(&inside(&a), &inside(&b), SocketAddr::new(ipv6(&b), 8080), 16 * MEBIBYTE);
        flush(&host);
        assert_closed(&host);
        let records = records(&host);
        let (packets, _) = total(&records, "a", Direction::Egress, to_port(TCP, 8080));
        assert_eq!(packets, segments_sent(&inside(&a)) - segments, "{forwarding:?}");
        assert_eq!(
            records.iter().filter(|record| record.protocol == Some(ICMPV6)).count(),
            0,
            "{forwarding:?}"
        );
    }
}

#[test]
fn enis_with_a_way_out_have_what_that_takes() {
    let host = host();
    // Nothing is known of a way out that is not there.
    assert_eq!(sizes_of(&host, &host.create("early", "shop/a"), "shop"), GsoMaxSizes::LEGACY);
    for bytes in [65_536, 131_072] {
        let host = host_as(&HostOptions::default());
        let beyond = namespace::create(&host.folder().join("beyond"));
        let end = |name: &str, namespace| LinkEnd {
            name: name.to_owned(),
            index: None,
            mac: None,
            mtu: 9001,
            gso: GsoMaxSizes { ipv4: bytes.try_into().unwrap(), ipv6: GsoMaxSize::LEGACY },
            namespace,
        };
        let peer = end("near", Some(beyond.as_fd().as_raw_fd()));
        let wan = Request::NewVeth { end: end("wan", None), peer };
        host.namespace().run::<_, enid_netns::NetnsError>(|| Netlink::open()?.send(&[wan])).unwrap();
        command(host.namespace(), &["ip", "addr", "add", "192.0.2.1/24", "dev", "wan"]);
        command(host.namespace(), &["ip", "link", "set", "wan", "up"]);
        command(host.namespace(), &["ip", "route", "add", "default", "via", "192.0.2.2"]);
        let (out, isolated) = (host.create("out", "shop/a"), host.create("isolated", "red/a"));
        assert_eq!(sizes_of(&host, &out, "shop").ipv4.get(), bytes);
        assert_eq!(sizes_of(&host, &isolated, "red").ipv4, GsoMaxSize::MAX);
    }
}

/// TCP between a task and the server outside, both ways, counted exactly.
#[track_caller]
fn assert_passes(host: &Host, task: &Task, outside: &Outside, to: IpAddr) {
    let segments = segments_sent(&inside(task));
    transfer(&inside(task), &outside.server, SocketAddr::new(to, 8080), 8 * MEBIBYTE);
    let listener = tcp_listen(&outside.server, to, 8080);
    let near = tcp_connect(&inside(task), SocketAddr::new(to, 8080));
    let (far, _) = accept(&listener);
    send_bytes(far, near, 8 * MEBIBYTE);
    flush(host);
    assert_closed(host);
    let to_server = |record: &_| to_port(TCP, 8080)(record) && record.dstaddr == Some(to);
    let (packets, _) = total(&records(host), &task.name, Direction::Egress, to_server);
    assert_eq!(packets, segments_sent(&inside(task)) - segments, "{to}");
}

#[test]
fn buffers_larger_than_the_way_out_leave_in_segments() {
    for mtu in [1500, 9001] {
        let host = host_as(&HostOptions { gso_max_size: Some(524_280), ..Default::default() });
        let outside = Outside::new(&host, mtu, 9001);
        let task = host.create("web", "shop/a");
        assert_eq!(sizes_of(&host, &task, "shop").ipv4, GsoMaxSize::MAX);
        for to in SERVER {
            assert_passes(&host, &task, &outside, parse(to));
        }
    }
}

#[test]
fn a_task_that_raises_its_own_sizes_still_gets_through() {
    let host = host();
    let outside = Outside::new(&host, 9001, 9001);
    let task = host.create("web", "shop/a");
    // Both families': 8 bytes more in each segment while it is routed, on kernels before 7.0.
    command(&inside(&task), &["ip", "link", "set", "eth0", "gso_max_size", "524280"]);
    for to in SERVER {
        assert_passes(&host, &task, &outside, parse(to));
    }
    // And nobody said that a packet is too large.
    let errors = records(&host).into_iter().filter(|record| matches!(record.protocol, Some(ICMP | ICMPV6)));
    assert_eq!(errors.count(), 0);
}
