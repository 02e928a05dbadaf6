//! IPv4 packets whose every field is ours: a raw socket takes them as they are. See raw(7).

use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;

use anyhow::{Context as _, Result};
use rustix::net::{AddressFamily, SendFlags, SocketType, ipproto, sendto, socket};

const IP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;
const TCP_HEADER: usize = 20;

/// The addresses and ports of a packet.
#[derive(Clone, Copy)]
pub(crate) struct Tuple {
    pub(crate) source: (Ipv4Addr, u16),
    pub(crate) destination: (Ipv4Addr, u16),
}

/// Sends packets from the namespace that the opening thread is in.
pub(crate) struct RawSocket(OwnedFd);

impl RawSocket {
    /// Opens a socket whose packets bring their IP header.
    pub(crate) fn open() -> Result<Self> {
        let socket = socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::RAW));
        Ok(Self(socket.context("open a raw socket")?))
    }

    /// Sends a packet; the kernel writes its length and the header's checksum.
    pub(crate) fn send(&self, packet: &[u8], to: Ipv4Addr) -> Result<()> {
        sendto(&self.0, packet, SendFlags::empty(), &SocketAddrV4::new(to, 0)).context("send a packet")?;
        Ok(())
    }
}

/// A UDP datagram, without a checksum, as IPv4 allows (RFC 768).
pub(crate) fn datagram(tuple: Tuple, payload: &[u8]) -> Vec<u8> {
    let mut packet = header(tuple, 17);
    packet.extend(tuple.source.1.to_be_bytes());
    packet.extend(tuple.destination.1.to_be_bytes());
    #[allow(clippy::cast_possible_truncation, reason = "payloads of some bytes")]
    packet.extend(((UDP_HEADER + payload.len()) as u16).to_be_bytes());
    packet.extend([0, 0]);
    packet.extend(payload);
    packet
}

/// A TCP segment that asks for a connection (RFC 9293).
pub(crate) fn syn(tuple: Tuple, sequence: u32) -> Vec<u8> {
    const SYN: u8 = 0x02;
    let mut packet = header(tuple, 6);
    packet.extend(tuple.source.1.to_be_bytes());
    packet.extend(tuple.destination.1.to_be_bytes());
    packet.extend(sequence.to_be_bytes());
    packet.extend([0; 4]);
    // The header's length in words, the flags, the window, then the checksum and no urgent data.
    packet.extend([5 << 4, SYN, 0xff, 0xff, 0, 0, 0, 0]);
    let checksum = tcp_checksum(tuple, packet.get(IP_HEADER..).unwrap_or_default());
    if let Some(field) = packet.get_mut(IP_HEADER + 16..IP_HEADER + 18) {
        field.copy_from_slice(&checksum.to_be_bytes());
    }
    packet
}

/// An IPv4 header without options (RFC 791).
fn header(tuple: Tuple, protocol: u8) -> Vec<u8> {
    let mut packet = Vec::with_capacity(IP_HEADER + TCP_HEADER);
    packet.extend([0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, protocol, 0, 0]);
    packet.extend(tuple.source.0.octets());
    packet.extend(tuple.destination.0.octets());
    packet
}

/// The ones' complement of the ones' complement sum of the pseudo-header and the segment (RFC 9293, 3.1).
fn tcp_checksum(tuple: Tuple, segment: &[u8]) -> u16 {
    let mut sum = 6 + TCP_HEADER as u64;
    for address in [tuple.source.0, tuple.destination.0] {
        sum += u64::from(address.to_bits() >> 16) + u64::from(address.to_bits() & 0xffff);
    }
    for word in segment.chunks(2) {
        let high = word.first().copied().unwrap_or_default();
        let low = word.get(1).copied().unwrap_or_default();
        sum += u64::from(u16::from_be_bytes([high, low]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    #[allow(clippy::cast_possible_truncation, reason = "folded to 16 bits")]
    let folded = sum as u16;
    !folded
}
