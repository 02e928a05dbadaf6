//! IPv6: extension headers, fragments, discovery, and whatever may be wrong with a packet.

use enid_datapath::{Bucket, Direction, Reason};

use crate::case::{Case, Fixture};
use crate::frame::{ACK, ETHERNET, Ipv4, Ipv6, SYN, authentication, fragment, icmp, options, tcp, udp};
use crate::host::in_host;
use crate::records::{BOTH, Place, Tuple};

fn tuple(direction: Direction, ip: &Ipv6, ports: (u16, u16)) -> Tuple {
    let (source, destination) = (ip.source.into(), ip.destination.into());
    Tuple { direction, source, destination, protocol: ip.protocol, ports }
}

fn flow(direction: Direction, ip: &Ipv6, ports: (u16, u16), flags: u8) -> Place {
    Place::Flow(tuple(direction, ip, ports), flags)
}

fn of(protocol: u8) -> Ipv6 {
    Ipv6 { protocol, ..Ipv6::default() }
}

#[test]
fn every_protocol_is_a_flow() {
    in_host(|| {
        let fixture = Fixture::new();
        for direction in BOTH {
            let place = flow(direction, &of(6), (44_444, 443), 18);
            let frame = of(6).frame(&tcp(44_444, 443, SYN | ACK, 100));
            fixture.check(&Case::new(direction, frame, place, 160));
            let place = flow(direction, &of(17), (53, 4000), 0);
            fixture.check(&Case::new(direction, of(17).frame(&udp(53, 4000, 100)), place, 148));
            let place = flow(direction, &of(58), (0, 0), 0);
            for kind in [1, 2, 3, 4, 128, 129, 138, 142, 144] {
                fixture.check(&Case::new(direction, of(58).frame(&icmp(kind, 56)), place, 104));
            }
            for protocol in [1, 4, 41, 47, 50, 59, 132, 135, 255] {
                let frame = of(protocol).frame(&[0xff; 40]);
                let place = flow(direction, &of(protocol), (0, 0), 0);
                fixture.check(&Case::new(direction, frame, place, 80));
            }
            let place = flow(direction, &of(59), (0, 0), 0);
            fixture.check(&Case::new(direction, of(59).frame(&[]), place, 40));
        }
    });
}

#[test]
fn extension_headers_are_walked() {
    in_host(|| {
        let fixture = Fixture::new();
        let chains: [Vec<(u8, Vec<u8>)>; 8] = [
            vec![(0, options(8))],
            vec![(60, options(16))],
            vec![(43, options(24))],
            vec![(44, fragment(0, false))],
            vec![(44, fragment(0, true))],
            vec![(51, authentication(24))],
            vec![
                (0, options(8)),
                (60, options(8)),
                (43, options(24)),
                (44, fragment(0, true)),
                (51, authentication(28)),
                (60, options(256)),
            ],
            vec![(60, options(8)); 8],
        ];
        for direction in BOTH {
            for (port, extensions) in (100..).zip(&chains) {
                let ip = Ipv6 { extensions: extensions.clone(), ..of(6) };
                let size: usize = extensions.iter().map(|(_, bytes)| bytes.len() + 1).sum();
                let place = flow(direction, &ip, (port, 2), 2);
                let frame = ip.frame(&tcp(port, 2, SYN, 10));
                fixture.check(&Case::new(direction, frame, place, 40 + size + 30));
            }
        }
    });
}

#[test]
fn instance_metadata_is_out_of_reach() {
    in_host(|| {
        let fixture = Fixture::new();
        let to = Ipv6 { destination: "fd00:ec2::254".parse().unwrap(), ..of(6) };
        let place = Place::Bucket(Bucket::InstanceMetadata);
        let whole = to.frame(&tcp(1, 80, SYN, 0));
        fixture.check(&Case::new(Direction::Egress, whole.clone(), place, 60));
        fixture.check(&Case::new(Direction::Egress, whole[..60].to_vec(), place, 46));
        let mut odd = whole.clone();
        odd[ETHERNET] = 0;
        fixture.check(&Case::new(Direction::Egress, odd, place, 60));
        fixture.check(&Case::new(Direction::Ingress, whole, flow(Direction::Ingress, &to, (1, 80), 2), 60));
        let near = Ipv6 { destination: "fd00:ec2::255".parse().unwrap(), ..of(6) };
        let place = flow(Direction::Egress, &near, (1, 80), 2);
        fixture.check(&Case::new(Direction::Egress, near.frame(&tcp(1, 80, SYN, 0)), place, 60));
    });
}

#[test]
fn mapped_addresses_are_not_ipv4() {
    in_host(|| {
        let fixture = Fixture::new();
        let ipv4 = Ipv4::default();
        let mapped = Ipv6 {
            source: ipv4.source.to_ipv6_mapped(),
            destination: ipv4.destination.to_ipv6_mapped(),
            ..of(6)
        };
        let payload = tcp(1, 2, SYN, 0);
        // The task's IPv4 address is none that it may send IPv6 from.
        let place = Place::Refused(tuple(Direction::Egress, &mapped, (1, 2)), Reason::SpoofedSource);
        fixture.check(&Case::new(Direction::Egress, mapped.frame(&payload), place, 60));
        let place = flow(Direction::Ingress, &mapped, (1, 2), 2);
        fixture.check(&Case::new(Direction::Ingress, mapped.frame(&payload), place, 60));
        let tuple = Tuple {
            direction: Direction::Ingress,
            source: ipv4.source.into(),
            destination: ipv4.destination.into(),
            protocol: 6,
            ports: (1, 2),
        };
        let place = Place::Flow(tuple, 2);
        fixture.check(&Case::new(Direction::Ingress, ipv4.frame(&payload), place, 40));
        assert_eq!(fixture.flows().len(), 2);
    });
}

#[test]
fn whatever_is_wrong_is_malformed() {
    in_host(|| {
        let fixture = Fixture::new();
        let mut frames = Vec::new();
        let good = of(6).frame(&tcp(1, 2, SYN, 20));
        for version in [0x00, 0x40, 0x50, 0x70] {
            let mut frame = good.clone();
            frame[ETHERNET] = version;
            frames.push(frame);
        }
        let mut spent = good.clone();
        spent[ETHERNET + 7] = 0;
        frames.push(spent);
        // Cut anywhere. (A test run wants a whole IP header: see `wire` for less.)
        for length in ETHERNET + 40..good.len() {
            frames.push(good[..length].to_vec());
        }
        for payload_length in [0, 1, 19, 41, 0xffff] {
            let ip = Ipv6 { payload_length: Some(payload_length), ..of(6) };
            frames.push(ip.frame(&tcp(1, 2, SYN, 20)));
        }
        for (protocol, needed) in [(6, 20), (17, 8), (58, 4), (132, 12)] {
            for length in [0, 1, needed - 1] {
                frames.push(of(protocol).frame(&vec![0x50; length]));
            }
        }
        // Extension headers that are cut, too long for the packet, without end, or that announce what is not there.
        for number in [0, 43, 44, 51, 60] {
            frames.push(of(number).frame(&[]));
            frames.push(of(number).frame(&[6, 0, 0]));
            frames.push(of(number).frame(&[6, 255, 0, 0, 0, 0, 0]));
        }
        let chained = |extensions| Ipv6 { extensions, ..of(6) };
        frames.push(chained(vec![(60, options(8)); 9]).frame(&tcp(1, 2, SYN, 0)));
        frames.push(chained(vec![(0, options(8)), (44, fragment(0, true))]).frame(&[1; 19]));
        // No payload length, and no jumbo option that would give it.
        let jumbo = Ipv6 { payload_length: Some(0), extensions: vec![(0, options(8))], ..of(6) };
        frames.push(jumbo.frame(&tcp(1, 2, SYN, 0)));
        for direction in BOTH {
            for frame in &frames {
                let bytes = frame.len() - ETHERNET;
                let place = Place::Bucket(Bucket::Malformed);
                fixture.check(&Case::new(direction, frame.clone(), place, bytes));
            }
        }
    });
}
