//! IPv4: options, fragments, protocols, and whatever may be wrong with a packet.

use std::net::Ipv4Addr;

use enid_datapath::{Bucket, Direction, Reason};

use crate::case::{Case, Fixture};
use crate::frame::{ACK, ETHERNET, FIN, Ipv4, PSH, RST, SYN, icmp, tcp, udp};
use crate::host::in_host;
use crate::records::{BOTH, Place, Tuple};

fn tuple(direction: Direction, ip: &Ipv4, ports: (u16, u16)) -> Tuple {
    let (source, destination) = (ip.source.into(), ip.destination.into());
    Tuple { direction, source, destination, protocol: ip.protocol, ports }
}

fn flow(direction: Direction, ip: &Ipv4, ports: (u16, u16), flags: u8) -> Place {
    Place::Flow(tuple(direction, ip, ports), flags)
}

fn of(protocol: u8) -> Ipv4 {
    Ipv4 { protocol, ..Ipv4::default() }
}

#[test]
fn tcp_flags_are_those_of_flow_logs() {
    in_host(|| {
        let fixture = Fixture::new();
        let cases = [
            (SYN, 2),
            (SYN | ACK, 18),
            (ACK, 0),
            (PSH | ACK, 0),
            (FIN | ACK, 1),
            (RST, 4),
            (RST | ACK, 4),
            (SYN | ACK | FIN, 19),
            (SYN | 0xc0, 2),
        ];
        for direction in BOTH {
            for (port, (wire, flags)) in (1000..).zip(cases) {
                let frame = of(6).frame(&tcp(port, 443, wire, 10));
                let place = flow(direction, &of(6), (port, 443), flags);
                fixture.check(&Case::new(direction, frame, place, 50));
            }
            // On one flow they accumulate.
            for (wire, flags) in cases {
                let frame = of(6).frame(&tcp(1, 2, wire, 0));
                fixture.check(&Case::new(direction, frame, flow(direction, &of(6), (1, 2), flags), 40));
            }
        }
    });
}

#[test]
fn options_and_data_offset_do_not_move_the_ports() {
    in_host(|| {
        let fixture = Fixture::new();
        for words in 1..=10 {
            let ip = Ipv4 { options: vec![1; words * 4], ..Ipv4::default() };
            let frame = ip.frame(&tcp(80, 5000, SYN, 3));
            let place = flow(Direction::Egress, &ip, (80, 5000), 2);
            fixture.check(&Case::new(Direction::Egress, frame, place, 20 + words * 4 + 23));
        }
        let mut segment = tcp(81, 5000, FIN, 40);
        segment[12] = 0xf0;
        let place = flow(Direction::Ingress, &of(6), (81, 5000), 1);
        fixture.check(&Case::new(Direction::Ingress, of(6).frame(&segment), place, 80));
    });
}

#[test]
fn every_protocol_is_a_flow() {
    in_host(|| {
        let fixture = Fixture::new();
        for direction in BOTH {
            let place = flow(direction, &of(17), (53, 4000), 0);
            fixture.check(&Case::new(direction, of(17).frame(&udp(53, 4000, 100)), place, 128));
            let place = flow(direction, &of(1), (0, 0), 0);
            fixture.check(&Case::new(direction, of(1).frame(&icmp(8, 56)), place, 84));
            for protocol in [2, 4, 47, 50, 51, 58, 89, 132, 255] {
                let frame = of(protocol).frame(&[0xff; 40]);
                fixture.check(&Case::new(direction, frame, flow(direction, &of(protocol), (0, 0), 0), 60));
            }
            // Nothing at all after the header is fine for a protocol that nobody knows.
            let place = flow(direction, &of(253), (0, 0), 0);
            fixture.check(&Case::new(direction, of(253).frame(&[]), place, 20));
        }
    });
}

#[test]
fn padding_after_the_packet_is_not_counted() {
    in_host(|| {
        let fixture = Fixture::new();
        let mut frame = of(6).frame(&tcp(1, 2, ACK, 0));
        frame.resize(60, 0);
        fixture.check(&Case::new(Direction::Ingress, frame, flow(Direction::Ingress, &of(6), (1, 2), 0), 40));
    });
}

#[test]
fn other_options_pass() {
    in_host(|| {
        let fixture = Fixture::new();
        // Router alert, record route, none, and what is after their end.
        for options in [
            [148, 4, 0, 0, 1, 1, 1, 1],
            [7, 7, 4, 0, 0, 0, 0, 0],
            [1, 1, 1, 1, 1, 1, 1, 1],
            [0, 131, 7, 4, 10, 0, 0, 1],
            [7, 8, 4, 0, 0, 0, 0, 0],
        ] {
            for direction in BOTH {
                let ip = Ipv4 { options: options.to_vec(), ..Ipv4::default() };
                let place = flow(direction, &ip, (1, 2), 0);
                fixture.check(&Case::new(direction, ip.frame(&tcp(1, 2, ACK, 0)), place, 48));
            }
        }
    });
}

#[test]
fn whatever_is_wrong_is_malformed() {
    in_host(|| {
        let fixture = Fixture::new();
        let mut frames = Vec::new();
        let good = of(6).frame(&tcp(1, 2, SYN, 20));
        let changed = |at: usize, byte: u8| {
            let mut frame = good.clone();
            frame[ETHERNET + at] = byte;
            frame
        };
        frames.push(changed(0, 0x55)); // version 5
        frames.push(changed(0, 0x65)); // version 6
        frames.push(changed(0, 0x44)); // a header of 16 bytes
        frames.push(changed(0, 0x40)); // of none
        frames.push(changed(0, 0x4f)); // of 60 bytes: the TCP header does not fit
        frames.push(changed(32, 0x40)); // TCP: a header of 16 bytes
        frames.push(changed(32, 0xf0)); // of 60 bytes, 40 are there
        frames.push(changed(8, 0)); // no router passes on what has no time to live
        // Options that do not fit, or say which way to go.
        for options in [
            [131, 7, 4, 10, 0, 0, 1, 0],
            [137, 7, 4, 10, 0, 0, 1, 0],
            [1, 131, 7, 4, 10, 0, 0, 1],
            [148, 4, 0, 0, 131, 3, 4, 0],
            [148, 1, 0, 0, 0, 0, 0, 0],
            [148, 9, 0, 0, 0, 0, 0, 0],
            [1, 1, 1, 1, 1, 1, 1, 148],
        ] {
            let ip = Ipv4 { options: options.to_vec(), ..Ipv4::default() };
            frames.push(ip.frame(&tcp(1, 2, SYN, 20)));
        }
        for total_length in [0, 19, 39, 61, 0xffff] {
            let ip = Ipv4 { total_length: Some(total_length), ..Ipv4::default() };
            frames.push(ip.frame(&tcp(1, 2, SYN, 20)));
        }
        // Cut anywhere, without its length knowing. (A test run wants a whole IP header: see `wire` for less.)
        for length in ETHERNET + 20..good.len() {
            frames.push(good[..length].to_vec());
        }
        // Too short for the protocol's header, and its length says so.
        for (protocol, needed) in [(6, 20), (17, 8), (1, 8), (132, 12)] {
            for length in [0, 1, needed - 1] {
                frames.push(of(protocol).frame(&vec![0x50; length]));
            }
        }
        // A first fragment without the whole of its header.
        let tiny = Ipv4 { fragment: 0x2000, ..Ipv4::default() };
        frames.push(tiny.frame(&tcp(1, 2, SYN, 0)[..8]));
        for direction in BOTH {
            for frame in &frames {
                let bytes = frame.len() - ETHERNET;
                let place = Place::Bucket(Bucket::Malformed);
                fixture.check(&Case::new(direction, frame.clone(), place, bytes));
            }
        }
    });
}

#[test]
fn link_local_addresses_are_on_no_route() {
    in_host(|| {
        let fixture = Fixture::new();
        let local = Ipv4Addr::new(169, 254, 170, 2);
        let from = Ipv4 { source: local, ..Ipv4::default() };
        let to = Ipv4 { destination: local, ..Ipv4::default() };
        let frame = |ip: &Ipv4| ip.frame(&tcp(1, 2, SYN, 8));
        // What a task sends there would reach nobody, and it has no such address.
        let place = Place::Bucket(Bucket::LinkLocal);
        fixture.check(&Case::new(Direction::Egress, frame(&to), place, 48));
        let place = Place::Refused(tuple(Direction::Egress, &from, (1, 2)), Reason::SpoofedSource);
        fixture.check(&Case::new(Direction::Egress, frame(&from), place, 48));
        // What comes from there, as errors of routers on the way may, is for the rules to judge.
        for ip in [&from, &to] {
            let place = flow(Direction::Ingress, ip, (1, 2), 2);
            fixture.check(&Case::new(Direction::Ingress, frame(ip), place, 48));
        }
        for direction in BOTH {
            for near in [Ipv4Addr::new(169, 253, 0, 1), Ipv4Addr::new(170, 254, 0, 1)] {
                let ip = Ipv4 { destination: near, ..Ipv4::default() };
                let place = flow(direction, &ip, (1, 2), 2);
                fixture.check(&Case::new(direction, frame(&ip), place, 48));
            }
        }
    });
}

#[test]
fn instance_metadata_is_out_of_reach() {
    in_host(|| {
        let fixture = Fixture::new();
        let address = Ipv4Addr::new(169, 254, 169, 254);
        let to = Ipv4 { destination: address, ..Ipv4::default() };
        let place = Place::Bucket(Bucket::InstanceMetadata);
        let whole = to.frame(&tcp(1, 80, SYN, 0));
        let mut odd = vec![whole.clone(), to.frame(&[]), whole[..40].to_vec()];
        for (at, byte) in [(0, 0x40), (0, 0x15), (6, 0x20), (7, 0x05), (9, 253), (12, 99)] {
            let mut frame = whole.clone();
            frame[ETHERNET + at] = byte;
            odd.push(frame);
        }
        for frame in odd {
            let bytes = frame.len() - ETHERNET;
            fixture.check(&Case::new(Direction::Egress, frame, place, bytes));
        }
        // No task has that address; what arrives from elsewhere is judged as any other packet.
        let from = Ipv4 { source: address, ..Ipv4::default() };
        let frame = from.frame(&tcp(80, 1, SYN, 0));
        let place = Place::Refused(tuple(Direction::Egress, &from, (80, 1)), Reason::SpoofedSource);
        fixture.check(&Case::new(Direction::Egress, frame, place, 40));
        for ip in [&to, &from] {
            let place = flow(Direction::Ingress, ip, (80, 1), 2);
            fixture.check(&Case::new(Direction::Ingress, ip.frame(&tcp(80, 1, SYN, 0)), place, 40));
        }
    });
}
