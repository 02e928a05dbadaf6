//! Where packets can't go: nowhere, to the router itself, to more than one.

use std::net::IpAddr;

use enid_datapath::{Bucket, Direction, Reason};

use crate::frame::{ACK, SYN, error, icmp, tcp, to_mac, udp};
use crate::host::command;
use crate::policy;
use crate::run::Verdict;
use crate::vpc::{Nic, Vpc, both_ways};

/// An ENI that may send everything, in a router with addresses of its own and a route that ends.
fn network(way: enid_datapath::Forwarding) -> (Vpc, Nic) {
    let vpc = Vpc::new(way);
    let nic = vpc.add(1, &[policy::open(&vpc.datapath)]);
    command(&format!("ip address add fe80::1/64 dev eni{} nodad", nic.number));
    for (gateway, nowhere) in [("10.0.0.254", "10.0.0.0/16"), ("fd00:1::fe", "fd00:1::/64")] {
        command(&format!("ip address add {gateway} dev lo"));
        command(&format!("ip route add unreachable {nowhere}"));
    }
    (vpc, nic)
}

/// The kernel tells the sender, so it has to get the packet.
#[test]
fn what_has_no_route_is_for_the_kernel_to_answer() {
    both_ways(|way| {
        let (vpc, nic) = network(way);
        for nowhere in ["10.0.0.77", "fd00:1::77"] {
            let to: IpAddr = nowhere.parse().unwrap();
            for _ in 0..2 {
                let step = vpc.send(&nic, &nic.packet(to, 17, &udp(1, 2, 0)));
                assert_eq!(step.verdict, Verdict::Pass);
                assert_eq!(step.seen, [nic.kept_in(Reason::NoRoute)]);
            }
            assert_eq!(vpc.datapath.flow_entries(nic.number).unwrap(), 0);
            // What no rule allows, is not told that either.
            vpc.datapath.open_eni(&nic.settings(&[])).unwrap();
            let step = vpc.send(&nic, &nic.packet(to, 17, &udp(1, 2, 0)));
            assert_eq!((step.verdict, step.seen), (Verdict::Drop, vec![nic.kept_in(Reason::NoRule)]));
            vpc.datapath.open_eni(&nic.settings(&[policy::open(&vpc.datapath)])).unwrap();
        }
    });
}

/// With the route a flow goes, and comes back with it.
#[test]
fn a_route_may_come_and_go() {
    both_ways(|way| {
        let (vpc, nic) = network(way);
        for to in ["10.0.0.77", "fd00:1::77"] {
            let frame = nic.packet(to.parse().unwrap(), 17, &udp(1, 2, 0));
            assert_eq!(vpc.send(&nic, &frame).seen, [nic.kept_in(Reason::NoRoute)]);
            command(&format!("ip route add {to} dev uplink"));
            assert_eq!(vpc.send(&nic, &frame).seen, [nic.sent()]);
        }
    });
}

/// The router answers echo requests, and nothing else.
#[test]
fn the_router_answers_nothing_but_echo() {
    both_ways(|way| {
        let (vpc, nic) = network(way);
        for router in ["10.0.0.254", "127.0.0.1", "fd00:1::fe", "fe80::1", "::1"] {
            let router: IpAddr = router.parse().unwrap();
            let (protocol, echo) = if router.is_ipv4() { (1, 8) } else { (58, 128) };
            let to_router = |protocol, payload: &[u8]| vpc.send(&nic, &nic.packet(router, protocol, payload));
            let refused = |payload: &[u8], protocol| {
                let step = to_router(protocol, payload);
                let expected = (Verdict::Drop, vec![nic.kept_in(Reason::Router)]);
                assert_eq!((step.verdict, step.seen), expected, "{protocol} to {router}");
            };
            for port in [22, 53, 80, 179, 2049] {
                refused(&tcp(4000, port, SYN, 0), 6);
                refused(&tcp(4000, port, ACK, 0), 6);
                refused(&udp(4000, port, 30), 17);
            }
            refused(&[0; 40], 47);
            // ICMP of other kinds, also such an error about something.
            for kind in [13, 17, 5, 10] {
                refused(&icmp(kind, 20), protocol);
            }
            let mut odd = icmp(echo, 20);
            odd[1] = 1;
            refused(&odd, protocol);
            let question = nic.packet("192.0.2.1".parse().unwrap(), 17, &udp(4000, 53, 0));
            if router.is_ipv4() {
                refused(&error(3, 1, &question), protocol);
            }
            let step = to_router(protocol, &icmp(echo, 56));
            assert_eq!((step.verdict, step.seen), (Verdict::Pass, vec![nic.sent()]), "echo to {router}");
        }
    });
}

/// A VPC has no multicast; nor does the router listen to it in its stead.
#[test]
fn multicast_and_broadcast_go_nowhere() {
    both_ways(|way| {
        let (vpc, nic) = network(way);
        for group in [
            "224.0.0.1",
            "224.0.0.251",
            "239.1.2.3",
            "255.255.255.255",
            "240.0.0.1",
            "ff02::1",
            "ff02::fb",
            "ff0e::1",
        ] {
            let to: IpAddr = group.parse().unwrap();
            let (protocol, echo) = if to.is_ipv4() { (1, 8) } else { (58, 128) };
            for (protocol, payload) in [(17, udp(5353, 5353, 20)), (protocol, icmp(echo, 20))] {
                let step = vpc.send(&nic, &nic.packet(to, protocol, &payload));
                let expected = (Verdict::Drop, vec![nic.kept_in(Reason::NoRoute)]);
                assert_eq!((step.verdict, step.seen), expected, "{group}");
            }
        }
    });
}

/// A router passes on what is for its own MAC, and so does the data path, whatever it knows of the flow.
#[test]
fn frames_for_another_mac_go_nowhere() {
    both_ways(|way| {
        let (vpc, nic) = network(way);
        let other = vpc.add(2, &[policy::open(&vpc.datapath)]);
        for to in other.addresses().into_iter().chain(["192.0.2.1".parse().unwrap()]) {
            let frame = nic.packet(to, 17, &udp(1, 2, 20));
            let goes = || vpc.send(&nic, &frame);
            for knows in [false, true] {
                for mac in [[0xff; 6], [0x33, 0x33, 0, 0, 0, 1], other.mac, [2, 0, 0, 0, 0, 9]] {
                    let step = vpc.send(&nic, &to_mac(frame.clone(), mac));
                    let expected = (Verdict::Drop, vec![nic.kept_in(Reason::NoRoute)]);
                    assert_eq!((step.verdict, step.seen), expected, "{way:?} {to} {knows}");
                }
                assert_ne!(goes().verdict, Verdict::Drop);
            }
        }
    });
}

/// Link-local addresses are of the link, at whose other end there is nobody but the router.
#[test]
fn link_local_destinations_are_nobody_elses() {
    both_ways(|way| {
        let (vpc, nic) = network(way);
        let other = vpc.add(2, &[policy::open(&vpc.datapath)]);
        command(&format!("ip address add fe80::1/64 dev eni{} nodad", other.number));
        let to: IpAddr = "fe80::ff:fe00:102".parse().unwrap();
        let seen = vpc.send(&nic, &nic.packet(to, 17, &udp(1, 2, 0))).seen;
        assert_eq!(seen, [nic.kept_in(Reason::Router)]);
        let to: IpAddr = "169.254.170.2".parse().unwrap();
        let seen = vpc.send(&nic, &nic.packet(to, 17, &udp(1, 2, 0))).seen;
        assert_eq!(seen, [nic.bucket(Direction::Egress, Bucket::LinkLocal)]);
    });
}
