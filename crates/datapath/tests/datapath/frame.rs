//! Frames, put together from their headers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Bytes of an Ethernet header.
pub(crate) const ETHERNET: usize = 14;

/// TCP flags as they stand in the header.
pub(crate) const FIN: u8 = 1;
/// TCP flags as they stand in the header.
pub(crate) const SYN: u8 = 2;
/// TCP flags as they stand in the header.
pub(crate) const RST: u8 = 4;
/// TCP flags as they stand in the header.
pub(crate) const PSH: u8 = 8;
/// TCP flags as they stand in the header.
pub(crate) const ACK: u8 = 16;

/// The MAC that frames are from.
pub(crate) const MAC: &str = "02:00:00:00:00:02";

/// The MAC that frames are to: the router's.
pub(crate) const ROUTER_MAC: &str = "02:00:00:00:00:01";

/// An Ethernet frame from [`MAC`] to the router.
pub(crate) fn ethernet(ether_type: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    frame.extend(ether_type.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The same frame from another MAC.
pub(crate) fn from_mac(mut frame: Vec<u8>, mac: [u8; 6]) -> Vec<u8> {
    frame[6..12].copy_from_slice(&mac);
    frame
}

/// The same frame to another MAC.
pub(crate) fn to_mac(mut frame: Vec<u8>, mac: [u8; 6]) -> Vec<u8> {
    frame[..6].copy_from_slice(&mac);
    frame
}

/// An IP packet of the family of its addresses.
pub(crate) fn packet(source: IpAddr, destination: IpAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            Ipv4 { source, destination, protocol, ..Ipv4::default() }.frame(payload)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            Ipv6 { source, destination, protocol, ..Ipv6::default() }.frame(payload)
        }
        mixed => panic!("{mixed:?} are of two families"),
    }
}

/// An IPv4 header with options, and what follows it.
#[derive(Debug, Clone)]
pub(crate) struct Ipv4 {
    /// The source.
    pub(crate) source: Ipv4Addr,
    /// The destination.
    pub(crate) destination: Ipv4Addr,
    /// The protocol.
    pub(crate) protocol: u8,
    /// A multiple of four bytes.
    pub(crate) options: Vec<u8>,
    /// The field with the flags and the fragment offset.
    pub(crate) fragment: u16,
    /// Overrides the total length.
    pub(crate) total_length: Option<u16>,
}

impl Default for Ipv4 {
    fn default() -> Self {
        Self {
            source: Ipv4Addr::new(10, 0, 0, 5),
            destination: Ipv4Addr::new(10, 0, 1, 7),
            protocol: 6,
            options: Vec::new(),
            fragment: 0,
            total_length: None,
        }
    }
}

impl Ipv4 {
    /// The frame.
    pub(crate) fn frame(&self, payload: &[u8]) -> Vec<u8> {
        let own = 20 + self.options.len();
        let total = u16::try_from(own + payload.len()).unwrap();
        let mut packet = vec![0x40 | u8::try_from(own / 4).unwrap(), 0];
        packet.extend(self.total_length.unwrap_or(total).to_be_bytes());
        packet.extend([0, 1]);
        packet.extend(self.fragment.to_be_bytes());
        packet.extend([64, self.protocol, 0, 0]);
        packet.extend(self.source.octets());
        packet.extend(self.destination.octets());
        packet.extend(&self.options);
        packet.extend(payload);
        ethernet(0x0800, &packet)
    }
}

/// An IPv6 header with extension headers, and what follows.
#[derive(Debug, Clone)]
pub(crate) struct Ipv6 {
    /// The source.
    pub(crate) source: Ipv6Addr,
    /// The destination.
    pub(crate) destination: Ipv6Addr,
    /// Extension headers: the number of each, and its bytes but the first.
    pub(crate) extensions: Vec<(u8, Vec<u8>)>,
    /// The protocol.
    pub(crate) protocol: u8,
    /// Overrides the payload length.
    pub(crate) payload_length: Option<u16>,
}

impl Default for Ipv6 {
    fn default() -> Self {
        Self {
            source: "fd00:1::5".parse().unwrap(),
            destination: "fd00:2::7".parse().unwrap(),
            extensions: Vec::new(),
            protocol: 6,
            payload_length: None,
        }
    }
}

impl Ipv6 {
    /// The frame.
    pub(crate) fn frame(&self, payload: &[u8]) -> Vec<u8> {
        let numbers: Vec<u8> =
            self.extensions.iter().map(|(number, _)| *number).chain([self.protocol]).collect();
        let mut rest = Vec::new();
        for ((_, bytes), next) in self.extensions.iter().zip(&numbers[1..]) {
            rest.push(*next);
            rest.extend(bytes);
        }
        rest.extend(payload);
        let length = self.payload_length.unwrap_or_else(|| u16::try_from(rest.len()).unwrap());
        let mut packet = vec![0x60, 0, 0, 0];
        packet.extend(length.to_be_bytes());
        packet.extend([numbers[0], 64]);
        packet.extend(self.source.octets());
        packet.extend(self.destination.octets());
        packet.extend(rest);
        ethernet(0x86dd, &packet)
    }
}

/// A hop-by-hop, routing or destination options header of so many bytes, with padding options.
pub(crate) fn options(size: usize) -> Vec<u8> {
    let mut bytes = vec![u8::try_from(size / 8 - 1).unwrap()];
    // PadN over everything that is left, in pieces of at most 255 bytes.
    while bytes.len() < size - 1 {
        let piece = (size - 1 - bytes.len()).min(200);
        if piece == 1 {
            bytes.push(0);
        } else {
            bytes.extend([1, u8::try_from(piece - 2).unwrap()]);
            bytes.resize(bytes.len() + piece - 2, 0);
        }
    }
    bytes
}

/// An IPv6 fragment header.
pub(crate) fn fragment(offset: u16, more: bool) -> Vec<u8> {
    let mut bytes = vec![0];
    bytes.extend((offset << 3 | u16::from(more)).to_be_bytes());
    bytes.extend([0, 0, 0, 9]);
    bytes
}

/// An IPv6 authentication header of so many bytes.
pub(crate) fn authentication(size: usize) -> Vec<u8> {
    let mut bytes = vec![u8::try_from(size / 4 - 2).unwrap()];
    bytes.resize(size - 1, 7);
    bytes
}

/// A TCP segment.
pub(crate) fn tcp(source: u16, destination: u16, flags: u8, payload: usize) -> Vec<u8> {
    let mut segment = Vec::new();
    segment.extend(source.to_be_bytes());
    segment.extend(destination.to_be_bytes());
    segment.extend([0; 8]);
    segment.extend([0x50, flags, 1, 0, 0, 0, 0, 0]);
    segment.resize(segment.len() + payload, 0xaa);
    segment
}

/// A UDP datagram.
pub(crate) fn udp(source: u16, destination: u16, payload: usize) -> Vec<u8> {
    let mut datagram = Vec::new();
    datagram.extend(source.to_be_bytes());
    datagram.extend(destination.to_be_bytes());
    datagram.extend(u16::try_from(8 + payload).unwrap().to_be_bytes());
    datagram.extend([0, 0]);
    datagram.resize(8 + payload, 0xbb);
    datagram
}

/// An ICMP or ICMPv6 message.
pub(crate) fn icmp(kind: u8, payload: usize) -> Vec<u8> {
    let mut message = vec![kind, 0, 0, 0, 0, 0, 0, 0];
    message.resize(8 + payload, 0xcc);
    message
}

/// An ICMP or ICMPv6 error about the packet in a frame, which it carries.
pub(crate) fn error(kind: u8, code: u8, about: &[u8]) -> Vec<u8> {
    let carried = &about[ETHERNET..];
    [&[kind, code, 0, 0, 0, 0, 0, 0], &carried[..carried.len().min(500)]].concat()
}
