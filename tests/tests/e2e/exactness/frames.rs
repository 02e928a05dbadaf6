//! Frames that no protocol of the kernel sends: odd ones, wrong ones, and buffers as a virtual machine hands them on.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use enid_testbed::frames::Segmentation;

const UDP: u8 = 17;
const TCP: u8 = 6;

/// Between whom frames are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ends {
    pub(super) mac: [u8; 6],
    pub(super) gateway_mac: [u8; 6],
    pub(super) source: [IpAddr; 2],
    pub(super) destination: [IpAddr; 2],
    /// Where everybody may send datagrams to.
    pub(super) port: u16,
}

/// A frame of a kind, and how it is to be cut; `random` numbers make it another each time.
pub(super) fn any(ends: &Ends, random: &mut fastrand::Rng) -> (Vec<u8>, Option<Segmentation>) {
    let (IpAddr::V4(source), IpAddr::V4(destination)) = (ends.source[0], ends.destination[0]) else {
        panic!("IPv4 first");
    };
    let (IpAddr::V6(source6), IpAddr::V6(destination6)) = (ends.source[1], ends.destination[1]) else {
        panic!("IPv6 second");
    };
    let payload = vec![7; random.usize(0..900)];
    let datagram = udp(40_000 + random.u16(0..8), ends.port, &payload);
    let v4 = |rest: Vec<u8>| [ethernet(ends, 0x0800), rest].concat();
    let v6 = |rest: Vec<u8>| [ethernet(ends, 0x86dd), rest].concat();
    let frame = match random.u8(0..16) {
        // Options: no operation, four times; a router alert.
        0 => v4(ipv4(source, destination, UDP, &[1, 1, 1, 1], 64, &datagram)),
        1 => v4(ipv4(source, destination, UDP, &[148, 4, 0, 0], 64, &datagram)),
        // Behind the packet, as on links with a smallest frame.
        2 => [v4(ipv4(source, destination, UDP, &[], 64, &datagram)), vec![0; 18]].concat(),
        // Somebody else's address.
        3 => v4(ipv4(Ipv4Addr::new(10, 7, 0, 200), destination, UDP, &[], 64, &datagram)),
        4 => v6(ipv6("fd00:7::bad".parse().unwrap(), destination6, UDP, &datagram)),
        // No time to live, a header that is too short, a length beyond the frame.
        5 => v4(ipv4(source, destination, UDP, &[], 0, &datagram)),
        6 => {
            let mut frame = v4(ipv4(source, destination, UDP, &[], 64, &datagram));
            frame[14] = 0x44;
            frame
        }
        7 => {
            let mut frame = v6(ipv6(source6, destination6, UDP, &datagram));
            frame[18..20].copy_from_slice(&9000_u16.to_be_bytes());
            frame
        }
        // Extension headers: hop-by-hop and destination options, both with padding.
        8 => {
            let options = |next: u8| [&[next, 0, 1, 4, 0, 0, 0, 0][..]].concat();
            v6(ipv6(source6, destination6, 0, &[options(60), options(UDP), datagram].concat()))
        }
        // A fragment that is the whole datagram: RFC 6946.
        9 => {
            let identification = random.u32(..).to_be_bytes();
            let header = [&[UDP, 0, 0, 0][..], &identification].concat();
            v6(ipv6(source6, destination6, 44, &[header, datagram].concat()))
        }
        // A later fragment whose first nobody has sent.
        10 => {
            let header = [&[UDP, 0, 0, 8][..], &random.u32(..).to_be_bytes()].concat();
            v6(ipv6(source6, destination6, 44, &[header, payload].concat()))
        }
        // Protocols without ports.
        11 => v4(ipv4(source, destination, 47, &[], 64, &payload)),
        // Link-local addresses.
        12 => {
            let to = *random.choice(&[[169, 254, 1, 1], [169, 254, 169, 254]]).unwrap();
            v4(ipv4(source, to.into(), UDP, &[], 64, &datagram))
        }
        // Local experiments: IEEE 802.
        13 => [ethernet(ends, 0x88b5), payload].concat(),
        14 => {
            let segment = [transport(TCP, 40_100, 5000), vec![9; random.usize(2000..20_000)]].concat();
            let buffer = v4(ipv4(source, destination, TCP, &[], 64, &segment));
            let size = random.u16(500..1400);
            return (buffer, Some(Segmentation { kind: 1, headers: 54, size, transport: 34, checksum: 16 }));
        }
        _ => {
            let buffer = v6(ipv6(source6, destination6, UDP, &udp(40_101, ends.port, &vec![9; 9000])));
            let size = random.u16(500..1400);
            return (buffer, Some(Segmentation { kind: 5, headers: 62, size, transport: 54, checksum: 6 }));
        }
    };
    (frame, None)
}

/// An ARP request of the task's for an address: a question, or what claims an address that is another's.
pub(super) fn arp(ends: &Ends, is_honest: bool) -> Vec<u8> {
    let (IpAddr::V4(source), IpAddr::V4(destination)) = (ends.source[0], ends.destination[0]) else {
        panic!("IPv4 first");
    };
    let claimed = if is_honest { source } else { destination };
    let mut frame = [&[0xff; 6][..], &ends.mac, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1], &ends.mac].concat();
    frame.extend(claimed.octets());
    frame.extend([0; 6]);
    frame.extend(destination.octets());
    frame
}

fn ethernet(ends: &Ends, kind: u16) -> Vec<u8> {
    [&ends.gateway_mac[..], &ends.mac, &kind.to_be_bytes()].concat()
}

/// RFC 791.
fn ipv4(
    source: Ipv4Addr,
    destination: Ipv4Addr,
    protocol: u8,
    options: &[u8],
    time_to_live: u8,
    payload: &[u8],
) -> Vec<u8> {
    let header = 20 + options.len();
    let length = u16::try_from(header + payload.len()).unwrap().to_be_bytes();
    let words = u8::try_from(header / 4).unwrap();
    let mut packet = vec![0x40 | words, 0, length[0], length[1], 0, 1, 0x40, 0, time_to_live, protocol, 0, 0];
    packet.extend(source.octets());
    packet.extend(destination.octets());
    packet.extend(options);
    let checksum = checksum(&packet);
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    packet.extend(payload);
    packet
}

/// RFC 8200.
fn ipv6(source: Ipv6Addr, destination: Ipv6Addr, next: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    let mut packet = vec![0x60, 0, 0, 0, length[0], length[1], next, 64];
    packet.extend(source.octets());
    packet.extend(destination.octets());
    packet.extend(payload);
    packet
}

/// Without a checksum, which receivers of IPv6 refuse, and which is nobody's affair on the way.
fn udp(source: u16, destination: u16, payload: &[u8]) -> Vec<u8> {
    let mut datagram = transport(UDP, source, destination);
    let length = u16::try_from(8 + payload.len()).unwrap();
    datagram[4..6].copy_from_slice(&length.to_be_bytes());
    datagram.extend(payload);
    datagram
}

/// A header with nothing but ports and, of TCP, its length and ACK.
fn transport(protocol: u8, source: u16, destination: u16) -> Vec<u8> {
    let mut header = [source.to_be_bytes(), destination.to_be_bytes()].concat();
    header.resize(if protocol == TCP { 20 } else { 8 }, 0);
    if protocol == TCP {
        header[12] = 5 << 4;
        header[13] = 0x10;
    }
    header
}

/// RFC 1071.
pub(super) fn checksum(bytes: &[u8]) -> u16 {
    let words =
        bytes.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)])));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap()
}
