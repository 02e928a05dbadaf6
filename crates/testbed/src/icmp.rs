//! ICMP errors, as they reach a namespace.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a step that fails panics, since a test wants to know where it failed"
)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

use enid_netns::Namespace;
use rustix::net::{AddressFamily, SocketType, ipproto, socket};

use crate::DEADLINE;
use crate::namespace::inside;

/// What a router says of a packet that it did not forward.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IcmpError {
    /// Who says it.
    pub from: IpAddr,
    /// The type and the code: 3 and 4 of ICMP, or 2 and 0 of ICMPv6, where the packet was too large.
    pub kind: (u8, u8),
    /// The MTU that it names; 0 where it is about something else.
    pub mtu: u32,
    /// Whose packet it was.
    pub source: IpAddr,
    /// Whom the packet was for.
    pub destination: IpAddr,
}

/// Hears the errors that reach a namespace from now on, in one family.
#[derive(Debug)]
pub struct IcmpErrors {
    socket: UdpSocket,
    is_ipv4: bool,
}

impl IcmpErrors {
    /// Begins to listen.
    pub fn listen(namespace: &Namespace, is_ipv4: bool) -> Self {
        let (family, protocol) = if is_ipv4 {
            (AddressFamily::INET, ipproto::ICMP)
        } else {
            (AddressFamily::INET6, ipproto::ICMPV6)
        };
        let raw =
            inside(namespace, || socket(family, SocketType::RAW, Some(protocol))).expect("a raw socket");
        // What UDP's socket does here, a raw one does as well.
        let socket = UdpSocket::from(raw);
        socket.set_read_timeout(Some(DEADLINE)).expect("set a timeout");
        Self { socket, is_ipv4 }
    }

    /// Waits for the next.
    #[track_caller]
    pub fn next(&self) -> IcmpError {
        loop {
            let mut buffer = [0; 2048];
            let received = self.socket.recv_from(&mut buffer);
            let (length, from) = received.unwrap_or_else(|error| panic!("no ICMP error came: {error}"));
            let message = buffer.get(..length).unwrap_or_default();
            if let Some(error) = if self.is_ipv4 { ipv4(message) } else { ipv6(message) } {
                return IcmpError { from: from.ip(), ..error };
            }
        }
    }
}

/// From the IPv4 header on (raw(7)): RFC 792, RFC 1191.
fn ipv4(packet: &[u8]) -> Option<IcmpError> {
    let header = usize::from(packet.first()? & 0xf) * 4;
    let message = packet.get(header..)?;
    let kind = (*message.first()?, *message.get(1)?);
    let address = |offset: usize| {
        let octets: [u8; 4] = message.get(8 + offset..8 + offset + 4)?.try_into().ok()?;
        Some(IpAddr::V4(Ipv4Addr::from(octets)))
    };
    let mtu = u16::from_be_bytes(message.get(6..8)?.try_into().ok()?);
    matches!(kind.0, 3 | 11 | 12).then_some(())?;
    Some(IcmpError {
        from: Ipv4Addr::UNSPECIFIED.into(),
        kind,
        mtu: if kind == (3, 4) { mtu.into() } else { 0 },
        source: address(12)?,
        destination: address(16)?,
    })
}

/// From the ICMPv6 header on (RFC 3542): RFC 4443.
fn ipv6(message: &[u8]) -> Option<IcmpError> {
    let kind = (*message.first()?, *message.get(1)?);
    let address = |offset: usize| {
        let octets: [u8; 16] = message.get(8 + offset..8 + offset + 16)?.try_into().ok()?;
        Some(IpAddr::V6(Ipv6Addr::from(octets)))
    };
    let mtu = u32::from_be_bytes(message.get(4..8)?.try_into().ok()?);
    (kind.0 < 128).then_some(())?;
    Some(IcmpError {
        from: Ipv6Addr::UNSPECIFIED.into(),
        kind,
        mtu: if kind.0 == 2 { mtu } else { 0 },
        source: address(8)?,
        destination: address(24)?,
    })
}
