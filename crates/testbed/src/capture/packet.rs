//! What a buffer is on the wire, and of which flow.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::socket::Buffer;
use super::{Flow, Seen};

const ETHERNET: usize = 14;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const TCP: u8 = 6;
const UDP: u8 = 17;
const HOP_BY_HOP: u8 = 0;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
/// Routing, destination options.
const OTHER_EXTENSIONS: [u8; 2] = [43, 60];
/// An IPv6 header with nothing but a jumbo payload option.
const JUMBO_HEADER: usize = 8;

/// A buffer, as it is on the wire.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Packet {
    /// None if it is not IP, or contradicts itself.
    pub(super) flow: Option<Flow>,
    pub(super) seen: Seen,
    /// How long the longest of its packets is from the IP header on, unless that may be fragmented on its way: then 0.
    pub(super) longest: u64,
}

/// The ports of datagrams whose first fragment was seen: by addresses, protocol and identification.
pub(super) type Fragments = HashMap<(IpAddr, IpAddr, u8, u32), (u16, u16)>;

/// The IP headers of a packet.
struct Internet {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    /// From the IP header on.
    length: usize,
    /// How long the IP headers are.
    headers: usize,
    /// What of both is in no segment.
    off_the_wire: usize,
    /// The identification, and whether it is the first fragment.
    fragment: Option<(u32, bool)>,
    may_be_fragmented: bool,
}

/// Reads a buffer.
pub(super) fn parse(buffer: &Buffer, fragments: &mut Fragments) -> Packet {
    let present = buffer.length - ETHERNET;
    let as_it_is = |flow| Packet { flow, seen: Seen { packets: 1, bytes: present as u64 }, longest: 0 };
    let Some(head) = buffer.head.get(ETHERNET..) else { return as_it_is(None) };
    let internet = match short(&buffer.head, 12) {
        Some(IPV4) => ipv4(head, present),
        Some(IPV6) => ipv6(head, present),
        _ => None,
    };
    let Some(internet) = internet else { return as_it_is(None) };
    let behind = head.get(internet.headers..).unwrap_or_default();
    let (mut ports, mut headers) = ((0, 0), internet.headers);
    if internet.fragment.is_none_or(|(_, is_first)| is_first) && [TCP, UDP].contains(&internet.protocol) {
        let (Some(source), Some(destination)) = (short(behind, 0), short(behind, 2)) else {
            return as_it_is(None);
        };
        ports = (source, destination);
        // The data offset, in words of 4 bytes: RFC 9293 section 3.1.
        let words = behind.get(12).map_or(0, |byte| usize::from(byte >> 4));
        headers += if internet.protocol == TCP { words * 4 } else { 8 };
    }
    if let Some((identification, is_first)) = internet.fragment {
        let key = (internet.source, internet.destination, internet.protocol, identification);
        if is_first {
            fragments.insert(key, ports);
        } else {
            ports = fragments.get(&key).copied().unwrap_or_default();
        }
    }
    let flow = Flow {
        way: buffer.way,
        source: internet.source,
        destination: internet.destination,
        protocol: internet.protocol,
        source_port: ports.0,
        destination_port: ports.1,
    };
    let (length, headers) = (internet.length - internet.off_the_wire, headers - internet.off_the_wire);
    let size = usize::from(buffer.segment_size);
    let (packets, longest) = match size {
        0 => (1, length),
        _ => ((length - headers).div_ceil(size).max(1), length.min(headers + size)),
    };
    let seen = Seen { packets: packets as u64, bytes: (length + (packets - 1) * headers) as u64 };
    Packet { flow: Some(flow), seen, longest: if internet.may_be_fragmented { 0 } else { longest as u64 } }
}

/// RFC 791 section 3.1.
fn ipv4(head: &[u8], present: usize) -> Option<Internet> {
    let first = *head.first()?;
    let headers = usize::from(first & 0xf) * 4;
    let length = match usize::from(short(head, 2)?) {
        0 => present,
        length => length,
    };
    let is_whole = first >> 4 == 4 && headers >= 20 && length >= headers && length <= present && head[8] > 0;
    is_whole.then_some(())?;
    let word = short(head, 6)?;
    let (more, offset) = (word & 0x2000 != 0, word & 0x1fff);
    let address = |at: usize| Some(IpAddr::V4(Ipv4Addr::from(array::<4>(head, at)?)));
    Some(Internet {
        source: address(12)?,
        destination: address(16)?,
        protocol: head[9],
        length,
        headers,
        off_the_wire: 0,
        fragment: (more || offset != 0).then_some((u32::from(short(head, 4)?), offset == 0)),
        may_be_fragmented: word & 0x4000 == 0,
    })
}

/// RFC 8200 sections 3 and 4.
fn ipv6(head: &[u8], present: usize) -> Option<Internet> {
    let payload = usize::from(short(head, 4)?);
    let mut protocol = *head.get(6)?;
    let is_jumbo = payload == 0 && present > 40;
    let length = if is_jumbo { present } else { 40 + payload };
    (head[0] >> 4 == 6 && length <= present && head[7] > 0).then_some(())?;
    let off_the_wire = if is_jumbo && protocol == HOP_BY_HOP { JUMBO_HEADER } else { 0 };
    let (mut headers, mut fragment) = (40, None);
    while protocol == HOP_BY_HOP
        || protocol == FRAGMENT
        || protocol == AUTHENTICATION
        || OTHER_EXTENSIONS.contains(&protocol)
    {
        let (next, units) = (*head.get(headers)?, usize::from(*head.get(headers + 1)?));
        let size = match protocol {
            FRAGMENT => 8,
            AUTHENTICATION => (units + 2) * 4,
            _ => (units + 1) * 8,
        };
        if protocol == FRAGMENT {
            let word = short(head, headers + 2)?;
            let identification = u32::from_be_bytes(array(head, headers + 4)?);
            // One that is whole all the same (RFC 6946) is as good as a first.
            fragment = Some((identification, word & 0xfff8 == 0));
        }
        headers += size;
        protocol = next;
        if fragment.is_some_and(|(_, is_first)| !is_first) {
            break;
        }
    }
    let address = |at: usize| Some(IpAddr::V6(Ipv6Addr::from(array::<16>(head, at)?)));
    Some(Internet {
        source: address(8)?,
        destination: address(24)?,
        protocol,
        length,
        headers,
        off_the_wire,
        fragment,
        may_be_fragmented: false,
    })
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(array(bytes, at)?))
}

#[cfg(test)]
mod tests {
    use super::super::Way;
    use super::*;

    /// A buffer that begins with these bytes and is so long, cut into segments of this payload.
    fn packet(head: &[u8], length: usize, segment_size: u16) -> Packet {
        let buffer = Buffer { way: Way::Out, head: head.to_vec(), length, segment_size };
        parse(&buffer, &mut Fragments::default())
    }

    fn ipv4(length: u16, protocol: u8, rest: &[u8]) -> Vec<u8> {
        let length = length.to_be_bytes();
        let header =
            [0x45, 0, length[0], length[1], 0, 1, 0x40, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        [&[0; 12][..], &[8, 0], &header, rest].concat()
    }

    fn ipv6(payload: u16, next: u8, rest: &[u8]) -> Vec<u8> {
        let payload = payload.to_be_bytes();
        let header = [&[0x60, 0, 0, 0, payload[0], payload[1], next, 64][..], &[0xfd; 32]].concat();
        [&[0; 12][..], &[0x86, 0xdd], &header, rest].concat()
    }

    const TCP_HEADER: [u8; 20] = [0x10, 0, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x10, 0, 0, 0, 0, 0, 0];

    #[test]
    fn padding_is_not_counted() {
        let udp = [0x10, 0, 0, 53, 0, 12, 0, 0, 1, 2, 3, 4];
        let found = packet(&ipv4(32, UDP, &udp), 60, 0);
        assert_eq!(found.seen, Seen { packets: 1, bytes: 32 });
        let flow = found.flow.unwrap();
        assert_eq!((flow.protocol, flow.source_port, flow.destination_port), (UDP, 4096, 53));
        assert_eq!(
            packet(&ipv4(32, UDP, &udp), 40, 0),
            Packet { flow: None, seen: Seen { packets: 1, bytes: 26 }, longest: 0 }
        );
    }

    #[test]
    fn a_segmented_buffer_counts_as_its_segments() {
        // 3,001 bytes in segments of 1,000: four, each with 40 bytes of headers.
        let found = packet(&ipv4(3041, TCP, &TCP_HEADER), 14 + 3041, 1000);
        assert_eq!((found.seen, found.longest), (Seen { packets: 4, bytes: 3001 + 4 * 40 }, 1040));
        // A length that no IPv4 header can state.
        let found = packet(&ipv4(0, TCP, &TCP_HEADER), 14 + 40 + 100_000, 1000);
        assert_eq!(found.seen, Seen { packets: 100, bytes: 100_000 + 100 * 40 });
    }

    #[test]
    fn the_jumbo_payload_option_is_in_no_segment() {
        let jumbo = [TCP, 0, 0xc2, 4, 0, 1, 0x86, 0xb4];
        let found =
            packet(&ipv6(0, 0, &[&jumbo[..], &TCP_HEADER].concat()), 14 + 40 + 8 + 20 + 100_000, 1000);
        assert_eq!(found.seen, Seen { packets: 100, bytes: 100_000 + 100 * 60 });
        assert_eq!(found.flow.unwrap().destination_port, 80);
    }

    #[test]
    fn fragments_have_the_ports_of_their_first() {
        let mut fragments = Fragments::default();
        let mut ports = |offset: u8, rest: &[u8]| {
            let header = [&[UDP, 0, 0, offset, 0, 0, 0, 7][..], rest].concat();
            let head = ipv6(u16::try_from(header.len()).unwrap(), FRAGMENT, &header);
            let buffer = Buffer { way: Way::In, length: head.len(), head, segment_size: 0 };
            parse(&buffer, &mut fragments).flow.unwrap().destination_port
        };
        assert_eq!(ports(0x10, &[1; 8]), 0);
        assert_eq!(ports(0x01, &[0, 9, 0, 5, 0, 16, 0, 0]), 5);
        assert_eq!(ports(0x10, &[1; 8]), 5);
    }
}
