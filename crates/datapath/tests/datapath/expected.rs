//! What becomes of a frame at the fixture's ENI, whose groups let everything pass: by the design, not by the programs.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use enid_datapath::{Bucket, Direction, Reason};

use crate::frame::{self, Ipv4, Ipv6};
use crate::records::{Place, Tuple};
use crate::reference::{self, Packet, Said};

/// Direction, source, destination, protocol and identification: what fragments of a datagram share.
type Datagram = (Direction, IpAddr, IpAddr, u8, u32);

/// The first fragments that were seen.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    ports: HashMap<Datagram, (u16, u16)>,
}

impl Expected {
    /// Where a frame is to be counted, with its TCP flags, and its layer-3 bytes.
    pub(crate) fn read(&mut self, frame: &[u8], direction: Direction) -> (Place, usize) {
        let read = reference::read(frame, direction);
        let place = match read.said {
            Said::Bucket(Bucket::Arp) if direction == Direction::Egress => Place::Bucket(arp(frame)),
            Said::Bucket(bucket) => Place::Bucket(bucket),
            Said::Packet(packet) => self.place(frame, packet, read.bytes),
        };
        (place, read.bytes)
    }

    fn place(&mut self, frame: &[u8], mut packet: Packet, bytes: usize) -> Place {
        let Tuple { direction, source, destination, protocol, .. } = packet.tuple;
        let is_egress = direction == Direction::Egress;
        if is_egress && matches!(destination, IpAddr::V4(address) if address.is_link_local()) {
            return Place::Bucket(Bucket::LinkLocal);
        }
        // What a router would pass on is judged by rules, once the task may say it: it comes from outside here.
        if is_egress && is_discovery(&packet) {
            let bucket = discovery(frame, &packet, bytes);
            if bucket.is_dropped() || is_near(source, destination) {
                return Place::Bucket(bucket);
            }
        }
        let is_own = is_own(source) && frame[6..12] == own_mac();
        if is_egress && !is_own {
            return Place::Refused(packet.tuple, Reason::SpoofedSource);
        }
        if let Some(fragment) = packet.fragment {
            let key = (direction, source, destination, protocol, fragment.identification);
            if fragment.is_first {
                self.ports.insert(key, packet.tuple.ports);
            } else {
                packet.tuple.ports = self.ports.get(&key).copied().unwrap_or_default();
            }
        }
        if is_egress && let Some(reason) = refusal(frame, &packet) {
            return Place::Refused(packet.tuple, reason);
        }
        Place::Flow(packet.tuple, packet.flags)
    }
}

/// Neighbour discovery (RFC 4861) and multicast listener discovery (RFC 2710, RFC 3810).
fn is_discovery(packet: &Packet) -> bool {
    packet.tuple.source.is_ipv6() && packet.message.is_some_and(|kind| matches!(kind, 130..=137 | 143))
}

/// Whether a packet goes no further than to the router.
fn is_near(source: IpAddr, destination: IpAddr) -> bool {
    let is_link_local =
        |address| matches!(address, IpAddr::V6(address) if Ipv6Addr::is_unicast_link_local(&address));
    let ends_here = destination.is_multicast() || destination.is_loopback();
    ends_here || is_link_local(destination) || is_link_local(source)
}

fn own_mac() -> Vec<u8> {
    frame::MAC.split(':').map(|octet| u8::from_str_radix(octet, 16).unwrap()).collect()
}

fn is_own(address: IpAddr) -> bool {
    let own: [IpAddr; 2] = [Ipv4::default().source.into(), Ipv6::default().source.into()];
    own.contains(&address)
}

/// Why what a task sends from its own address goes nowhere, if it doesn't.
fn refusal(frame: &[u8], packet: &Packet) -> Option<Reason> {
    let Tuple { source, destination, protocol, ports, .. } = packet.tuple;
    let server = if source.is_ipv4() { (67, 68) } else { (547, 546) };
    if protocol == 17 && ports == server {
        return Some(Reason::Impersonation);
    }
    let is_beyond = match destination {
        IpAddr::V4(address) => address.octets()[0] < 224,
        IpAddr::V6(address) => !address.is_multicast(),
    };
    if !is_beyond || frame[..6] != frame::ethernet(0, &[])[..6] {
        return Some(Reason::NoRoute);
    }
    let echo = if source.is_ipv4() { 8 } else { 128 };
    let is_echo = packet.message == Some(echo) && packet.payload[1] == 0;
    (destination.is_loopback() && !is_echo).then_some(Reason::Router)
}

/// RFC 826, for IPv4 over Ethernet.
fn arp(frame: &[u8]) -> Bucket {
    let is_believed = frame.len() >= 42
        && frame[14..20] == [0, 1, 8, 0, 6, 4]
        && frame[6..12] == own_mac()
        && frame[22..28] == own_mac()
        && (frame[28..32] == [0; 4] || frame[28..32] == Ipv4::default().source.octets());
    if is_believed { Bucket::Arp } else { Bucket::Spoofed }
}

/// RFC 4861.
fn discovery(frame: &[u8], packet: &Packet, bytes: usize) -> Bucket {
    let kind = packet.message.unwrap();
    if matches!(kind, 134 | 137) {
        return Bucket::Impersonation;
    }
    let believed = |address: IpAddr| {
        let link_local: IpAddr = "fe80::ff:fe00:2".parse().unwrap();
        is_own(address) || address == link_local
    };
    let IpAddr::V6(source) = packet.tuple.source else { panic!("not over IPv4") };
    // The message, and what a short frame is padded with: what is too short for the kernel, it ignores.
    let end = 14 + bytes;
    let message = &frame[end - packet.payload.len()..];
    let has_own_target = || {
        let target = message.get(8..24).map(|octets| <[u8; 16]>::try_from(octets).unwrap());
        target.is_some_and(|target| believed(target.into()))
    };
    let has_own_options = |from: usize| {
        let mut at = from;
        for _ in 0..4 {
            if at >= packet.payload.len() {
                return true;
            }
            let Some(option) = message.get(at..at + 8) else { return false };
            let is_strange = matches!(option[0], 1 | 2) && option[2..8] != own_mac();
            if is_strange || option[1] == 0 {
                return false;
            }
            at += usize::from(option[1]) * 8;
        }
        at >= packet.payload.len()
    };
    let is_believed = frame[6..12] == own_mac()
        && (source.is_unspecified() || believed(source.into()))
        && match kind {
            135 => (!source.is_unspecified() || has_own_target()) && has_own_options(24),
            136 => has_own_target() && has_own_options(24),
            133 => has_own_options(8),
            _ => true,
        };
    if is_believed { Bucket::NeighborDiscovery } else { Bucket::Spoofed }
}
