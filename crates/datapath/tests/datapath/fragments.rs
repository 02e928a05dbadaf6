//! Fragments: later ones have the ports of their first, and pass as it did; without it only by rules for all ports.

use std::net::IpAddr;

use enid_datapath::{Count, Direction, Reason};

use crate::frame::{Ipv4, Ipv6, fragment, from_mac, icmp, options, tcp, udp};
use crate::host::in_host;
use crate::policy;
use crate::records::{Record, Snapshot, Tuple};
use crate::vpc::{Nic, Vpc, both_ways};

/// A datagram of one task to another, whose pieces have its identification.
struct Datagram {
    source: Nic,
    destination: IpAddr,
    protocol: u8,
    identification: u8,
}

impl Datagram {
    /// A piece of it from this unit of 8 bytes on.
    fn piece(&self, offset: u16, more: bool, payload: &[u8]) -> Vec<u8> {
        let frame = match self.destination {
            IpAddr::V4(destination) => {
                let word = offset | if more { 0x2000 } else { 0 };
                let ip = Ipv4 {
                    source: self.source.ipv4,
                    destination,
                    protocol: self.protocol,
                    fragment: word,
                    ..Ipv4::default()
                };
                let mut frame = ip.frame(payload);
                frame[19] = self.identification;
                frame
            }
            IpAddr::V6(destination) => {
                let mut header = fragment(offset, more);
                header[6] = self.identification;
                let ip = Ipv6 {
                    source: self.source.ipv6,
                    destination,
                    extensions: vec![(60, options(8)), (44, header)],
                    protocol: self.protocol,
                    ..Ipv6::default()
                };
                ip.frame(payload)
            }
        };
        from_mac(frame, self.source.mac)
    }

    /// What is counted of its flow for the sender.
    fn count(&self, vpc: &Vpc, ports: (u16, u16)) -> Count {
        let source = self.source.address_like(self.destination);
        let Self { destination, protocol, .. } = *self;
        let tuple = Tuple { direction: Direction::Egress, source, destination, protocol, ports };
        vpc.count(&Record { eni: self.source.number, tuple, reason: None })
    }
}

#[test]
fn later_fragments_are_of_the_flow_of_their_first() {
    both_ways(|way| {
        let vpc = Vpc::new(way);
        let dns = &["udp:53:10.0.0.0/16", "udp:53:fd00::/8"];
        let (out, into) = (policy::group(&vpc.datapath, &[], dns), policy::group(&vpc.datapath, dns, &[]));
        let (client, server) = (vpc.add(1, &[out]), vpc.add(2, &[into]));
        let passed = [client.sent(), server.got()];
        for destination in server.addresses() {
            let datagram = Datagram { source: client, destination, protocol: 17, identification: 1 };
            let refused = [client.kept_in(Reason::NoRule)];
            // Without the first nobody knows the ports, and no rule is for all of them.
            let later = datagram.piece(3, true, &[7; 16]);
            assert_eq!(vpc.carry(&client, &server, &later), refused);
            assert_eq!(vpc.carry(&client, &server, &datagram.piece(0, true, &udp(4000, 53, 16))), passed);
            assert_eq!(vpc.carry(&client, &server, &later), passed);
            assert_eq!(vpc.carry(&client, &server, &datagram.piece(5, false, &[7; 3])), passed);
            let count = datagram.count(&vpc, (4000, 53));
            assert_eq!(count.packets, 3);
            assert_eq!(datagram.count(&vpc, (0, 0)), Count::default());

            // Those of another datagram, or of another protocol's of the same number, are not known by it.
            let other = Datagram { identification: 2, ..datagram };
            assert_eq!(vpc.carry(&client, &server, &other.piece(3, false, &[7; 16])), refused);
            let other = Datagram { protocol: 6, ..datagram };
            assert_eq!(vpc.carry(&client, &server, &other.piece(3, false, &[7; 16])), refused);

            // A first that is refused takes the others with it.
            let other = Datagram { identification: 3, protocol: 17, ..datagram };
            assert_eq!(vpc.carry(&client, &server, &other.piece(0, true, &udp(4000, 54, 16))), refused);
            assert_eq!(vpc.carry(&client, &server, &other.piece(3, false, &[7; 16])), refused);
            let ports: Vec<_> = Snapshot::take(&vpc.datapath)
                .records
                .into_iter()
                .filter(|(record, _)| {
                    record.reason.is_some()
                        && record.tuple.source == datagram.source.address_like(destination)
                })
                .map(|(record, total)| (record.tuple.protocol, record.tuple.ports, total.count.packets))
                .collect();
            assert!(ports.contains(&(17, (4000, 54), 2)), "{ports:?}");
        }
    });
}

/// A number that is used again names another datagram.
#[test]
fn the_last_first_fragment_counts() {
    in_host(|| {
        let vpc = Vpc::new(enid_datapath::Forwarding::Direct);
        let nic =
            vpc.add(1, &[policy::group(&vpc.datapath, &[], &["udp:53-54:0.0.0.0/0", "udp:53-54:::/0"])]);
        for remote in ["192.0.2.1", "2001:db8::1"] {
            let destination = remote.parse().unwrap();
            let datagram = Datagram { source: nic, destination, protocol: 17, identification: 1 };
            for port in [53, 54] {
                vpc.send(&nic, &datagram.piece(0, true, &udp(4000, port, 16)));
                vpc.send(&nic, &datagram.piece(3, false, &[7; 16]));
                assert_eq!(datagram.count(&vpc, (4000, port)).packets, 2);
            }
        }
    });
}

#[test]
fn rules_for_all_ports_let_every_fragment_through() {
    both_ways(|way| {
        let vpc = Vpc::new(way);
        let all = &["udp:all:10.0.0.0/16", "udp:all:fd00::/8", "icmp:all:10.0.0.0/16", "icmpv6:all:fd00::/8"];
        let (out, into) = (policy::group(&vpc.datapath, &[], all), policy::group(&vpc.datapath, all, &[]));
        let (client, server) = (vpc.add(1, &[out]), vpc.add(2, &[into]));
        for destination in server.addresses() {
            let datagram = Datagram { source: client, destination, protocol: 17, identification: 1 };
            let later = datagram.piece(3, true, &[7; 16]);
            assert_eq!(vpc.carry(&client, &server, &later), [client.sent(), server.got()]);
            assert_eq!(datagram.count(&vpc, (0, 0)).packets, 1);
            let protocol = if destination.is_ipv4() { 1 } else { 58 };
            let ping = Datagram { protocol, identification: 9, ..datagram };
            let later = ping.piece(3, true, &[7; 16]);
            assert_eq!(vpc.carry(&client, &server, &later), [client.sent(), server.got()]);
        }
    });
}

/// Of ICMP the first has the type, which is what rules select by.
#[test]
fn the_rest_of_a_ping_is_a_ping() {
    both_ways(|way| {
        let vpc = Vpc::new(way);
        let ping = &["icmp:8/0:10.0.0.0/16", "icmpv6:128/0:fd00::/8"];
        let (out, into) = (policy::group(&vpc.datapath, &[], ping), policy::group(&vpc.datapath, ping, &[]));
        let (client, server) = (vpc.add(1, &[out]), vpc.add(2, &[into]));
        for (destination, protocol, kinds) in
            [(IpAddr::V4(server.ipv4), 1, (8, 0)), (IpAddr::V6(server.ipv6), 58, (128, 129))]
        {
            let request = Datagram { source: client, destination, protocol, identification: 1 };
            let reply = Datagram {
                source: server,
                destination: client.address_like(destination),
                protocol,
                identification: 1,
            };
            let asked = [client.sent(), server.got()];
            let answered = [server.sent(), client.got()];
            assert_eq!(vpc.carry(&client, &server, &request.piece(0, true, &icmp(kinds.0, 56))), asked);
            assert_eq!(vpc.carry(&client, &server, &request.piece(8, false, &[1; 40])), asked);
            assert_eq!(vpc.carry(&server, &client, &reply.piece(0, true, &icmp(kinds.1, 56))), answered);
            assert_eq!(vpc.carry(&server, &client, &reply.piece(8, false, &[1; 40])), answered);
        }
    });
}

/// What a later fragment carries need not fit any header, and is none.
#[test]
fn the_data_of_later_fragments_is_not_read() {
    in_host(|| {
        let vpc = Vpc::new(enid_datapath::Forwarding::Direct);
        let nic = vpc.add(1, &[policy::open(&vpc.datapath)]);
        for remote in ["192.0.2.1", "2001:db8::1"] {
            let destination: IpAddr = remote.parse().unwrap();
            for protocol in [6, 17, 132, 60] {
                for offset in [1, 185, 0x1fff] {
                    let datagram = Datagram { source: nic, destination, protocol, identification: 5 };
                    for payload in [&[1, 2][..], &tcp(67, 68, 2, 0)] {
                        let seen = vpc.send(&nic, &datagram.piece(offset, true, payload)).seen;
                        assert_eq!(seen, [nic.sent()], "{protocol} {offset}");
                    }
                }
            }
        }
        // "Don't fragment" and the atomic fragment (RFC 6946) are none.
        let whole = Ipv4 {
            source: nic.ipv4,
            destination: "192.0.2.1".parse().unwrap(),
            protocol: 17,
            fragment: 0x4000,
            ..Ipv4::default()
        };
        let seen = vpc.send(&nic, &from_mac(whole.frame(&udp(7, 9, 0)), nic.mac)).seen;
        assert_eq!(seen, [nic.sent()]);
        let atomic = Ipv6 {
            source: nic.ipv6,
            destination: "2001:db8::1".parse().unwrap(),
            extensions: vec![(44, fragment(0, false))],
            protocol: 17,
            ..Ipv6::default()
        };
        assert_eq!(vpc.send(&nic, &from_mac(atomic.frame(&udp(7, 9, 0)), nic.mac)).seen, [nic.sent()]);
        let records = Snapshot::take(&vpc.datapath).records;
        assert_eq!(records.keys().filter(|record| record.tuple.ports == (7, 9)).count(), 2);
    });
}
