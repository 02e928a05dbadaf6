//! Sources that are not the ENI's: of IP packets, and of parts that only the VPC plays.

use std::net::IpAddr;

use enid_datapath::{EniSettings, Forwarding, Reason};

use crate::frame::{ACK, Ipv6, SYN, from_mac, packet, tcp, udp};
use crate::host::in_host;
use crate::policy;
use crate::vpc::{Nic, Vpc, both_ways};

#[test]
fn a_source_that_is_not_the_enis_is_refused_and_makes_no_flow() {
    both_ways(|way| {
        let vpc = Vpc::new(way);
        let open = policy::open(&vpc.datapath);
        let (nic, other) = (vpc.add(1, &[open]), vpc.add(2, &[open]));
        let remotes: [IpAddr; 2] = ["192.0.2.1", "2001:db8::1"].map(|address| address.parse().unwrap());
        let spoofed = [nic.kept_in(Reason::SpoofedSource)];
        for to in other.addresses().into_iter().chain(remotes) {
            let segment = tcp(1, 443, SYN, 0);
            let own = nic.packet(to, 6, &segment);
            // Another task's address, the gateway's, nobody's, a broadcast one.
            let strangers: [IpAddr; 6] = if to.is_ipv4() {
                ["10.0.0.2", "10.0.0.254", "10.0.0.0", "203.0.113.9", "0.0.0.0", "255.255.255.255"]
            } else {
                ["fd00:1::2", "fe80::1", "fd00:1::", "2001:db8::9", "::", "ff02::1"]
            }
            .map(|address| address.parse().unwrap());
            for source in strangers {
                let frame = from_mac(packet(source, to, 6, &segment), nic.mac);
                assert_eq!(vpc.send(&nic, &frame).seen, spoofed, "{source}");
            }
            for at in 6..12 {
                let mut frame = own.clone();
                frame[at] ^= 1;
                assert_eq!(vpc.send(&nic, &frame).seen, spoofed, "octet {at} of the MAC");
            }
            assert_eq!(vpc.datapath.flow_entries(nic.number).unwrap(), 0);
            assert_eq!(vpc.datapath.flow_entries(other.number).unwrap(), 0);
        }
    });
}

/// An established connection does not vouch for who sends on it.
#[test]
fn each_packet_of_a_connection_has_the_enis_mac() {
    both_ways(|way| {
        let vpc = Vpc::new(way);
        let open = policy::open(&vpc.datapath);
        let (nic, other) = (vpc.add(1, &[open]), vpc.add(2, &[open]));
        for to in other.addresses() {
            for flags in [SYN, ACK, ACK, ACK] {
                let frame = nic.packet(to, 6, &tcp(1, 443, flags, 0));
                assert_eq!(vpc.carry(&nic, &other, &frame), [nic.sent(), other.got()]);
                let frame = from_mac(frame, other.mac);
                assert_eq!(vpc.send(&nic, &frame).seen, [nic.kept_in(Reason::SpoofedSource)]);
            }
        }
    });
}

/// What an ENI without an address of a family has in its stead is nobody's address.
#[test]
fn an_eni_without_an_address_sends_none() {
    in_host(|| {
        let vpc = Vpc::new(Forwarding::Direct);
        let open = policy::open(&vpc.datapath);
        let nic = Nic::nth(1);
        let none = EniSettings { ipv4: None, ipv6: None, ..nic.settings(&[open]) };
        vpc.join(&nic, &none);
        let spoofed = [nic.kept_in(Reason::SpoofedSource)];
        for remote in ["192.0.2.1", "2001:db8::1"] {
            let remote: IpAddr = remote.parse().unwrap();
            let segment = tcp(1, 443, SYN, 0);
            assert_eq!(vpc.send(&nic, &nic.packet(remote, 6, &segment)).seen, spoofed);
            let highest: IpAddr = if remote.is_ipv4() {
                "255.255.255.255".parse().unwrap()
            } else {
                "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff".parse().unwrap()
            };
            let frame = from_mac(packet(highest, remote, 6, &segment), nic.mac);
            assert_eq!(vpc.send(&nic, &frame).seen, spoofed, "{highest}");
        }
    });
}

/// A task that answers DHCP would be the VPC's to others. Asking does no harm: it reaches nobody.
#[test]
fn no_task_is_a_dhcp_server() {
    both_ways(|way| {
        let vpc = Vpc::new(way);
        let open = policy::open(&vpc.datapath);
        let (nic, other) = (vpc.add(1, &[open]), vpc.add(2, &[open]));
        for (to, server, client) in [(IpAddr::V4(other.ipv4), 67, 68), (IpAddr::V6(other.ipv6), 547, 546)] {
            let from = |ports: (u16, u16)| nic.packet(to, 17, &udp(ports.0, ports.1, 240));
            let impersonates = [nic.kept_in(Reason::Impersonation)];
            assert_eq!(vpc.send(&nic, &from((server, client))).seen, impersonates);
            assert_eq!(vpc.send(&nic, &from((server, client))).seen, impersonates);
            let passes = [nic.sent(), other.got()];
            assert_eq!(vpc.carry(&nic, &other, &from((client, server))), passes);
            assert_eq!(vpc.carry(&nic, &other, &from((server, 1000))), passes);
            // Of TCP these ports mean nothing.
            let frame = nic.packet(to, 6, &tcp(server, client, SYN, 0));
            assert_eq!(vpc.carry(&nic, &other, &frame), passes);
        }
        // Nor behind extension headers.
        let hidden = Ipv6 {
            source: nic.ipv6,
            destination: other.ipv6,
            protocol: 17,
            extensions: vec![(60, crate::frame::options(16))],
            payload_length: None,
        };
        let frame = from_mac(hidden.frame(&udp(547, 546, 100)), nic.mac);
        assert_eq!(vpc.send(&nic, &frame).seen, [nic.kept_in(Reason::Impersonation)]);
        // A client that has no address yet.
        let discover =
            packet("0.0.0.0".parse().unwrap(), "255.255.255.255".parse().unwrap(), 17, &udp(68, 67, 240));
        let seen = vpc.send(&nic, &from_mac(discover, nic.mac)).seen;
        assert_eq!(seen, [nic.kept_in(Reason::SpoofedSource)]);
    });
}
