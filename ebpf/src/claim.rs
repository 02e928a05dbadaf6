//! What a task claims to be: its MAC, and what it says in ARP and neighbour discovery, must be its ENI's.

use aya_ebpf::bindings::__sk_buff;
use enid_abi::{Address, Bucket, EniSlot, Family};

use crate::bytes::{Bytes as _, Header as _, Linear, load};
use crate::case::case;
use crate::deliver::open_slot;
use crate::ipv4::mapped;
use crate::outcome::Outcome;
use crate::packet::Packet;
use crate::policy::words;
use crate::route;
use crate::skb::Skb;

/// The octets of a MAC in a word that was loaded from where it begins.
const MAC: u64 = if cfg!(target_endian = "little") { 0xffff_ffff_ffff } else { 0xffff_ffff_ffff_0000 };

/// Whether the frame's source is the ENI's MAC.
#[inline(always)]
pub fn has_own_mac(skb: Skb, slot: &EniSlot) -> bool {
    match Linear::new(skb).header::<14>(0) {
        Ok(header) => (header.double::<6>() ^ own_mac(slot)) & MAC == 0,
        Err(_) => false,
    }
}

/// Whether the frame's destination is the router's MAC: a router passes on nothing else.
#[inline(always)]
pub fn is_for_router(skb: Skb) -> bool {
    const HOST: u32 = 0;
    skb.pkt_type() == HOST
}

#[inline(always)]
fn own_mac(slot: &EniSlot) -> u64 {
    // SAFETY: 8 bytes that are initialized.
    unsafe { slot.mac.as_ptr().cast::<u64>().read_unaligned() }
}

/// Whether an IP packet's sources, MAC and address, are the ENI's.
#[inline(always)]
pub fn has_own_source(skb: Skb, packet: &Packet, slot: &EniSlot) -> bool {
    let key = &packet.key;
    let own = if key.family == Family::Ipv4 as u8 { &slot.ipv4 } else { &slot.ipv6 };
    is_address(&words(&key.source), own) && has_own_mac(skb, slot)
}

/// Whether an IP packet is what a DHCP server sends (RFC 2131, RFC 8415).
#[inline(always)]
pub fn is_dhcp_server(packet: &Packet) -> bool {
    const DHCP: (u16, u16) = (67, 68);
    const DHCPV6: (u16, u16) = (547, 546);
    let key = &packet.key;
    let server = if key.family == Family::Ipv4 as u8 { DHCP } else { DHCPV6 };
    packet.is_udp() && (key.source_port, key.destination_port) == server
}

/// Whether an address is an ENI's, which may have none.
#[inline(always)]
fn is_address(address: &Address, own: &Address) -> bool {
    // What stands for none could be written into a packet, but is nobody's: a multicast address.
    is_same(address, own) && own[0] != EniSlot::NO_ADDRESS[0]
}

#[inline(always)]
fn is_same(one: &Address, other: &Address) -> bool {
    (one[0] ^ other[0]) | (one[1] ^ other[1]) == 0
}

/// ARP (RFC 826) for IPv4 over Ethernet.
#[derive(Clone, Copy)]
#[repr(C, packed)]
struct Arp {
    ethernet: [u8; 14],
    kinds: u64,
    sender_mac: [u8; 6],
    sender: [u8; 4],
    target_mac: [u8; 6],
    target: [u8; 4],
}

/// What becomes of ARP from a task: a packed [`Outcome`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn arp(context: *mut __sk_buff) -> u64 {
    let skb = Skb::from_context(context);
    match open_slot(skb.ifindex()) {
        Some(slot) => judge_arp(skb, slot).pack(),
        None => Outcome::dropped(Bucket::Closed).pack(),
    }
}

#[inline(always)]
fn judge_arp(skb: Skb, slot: &EniSlot) -> Outcome {
    /// Ethernet, IPv4, their lengths; then comes the operation.
    const KINDS: u64 = 0x0001_0800_0604_0000;
    let Some(arp) = load::<Arp>(skb, 0) else {
        return Outcome::dropped(Bucket::Spoofed);
    };
    let own = &slot.mac[..6];
    let is_own = u64::from_be(arp.kinds) & !0xffff == KINDS
        && is_mac(&arp.sender_mac, own)
        && has_own_mac(skb, slot)
        // Before it takes an address, a host asks for it without one (RFC 5227).
        && (arp.sender == [0; 4] || is_same(&mapped(u32::from_ne_bytes(arp.sender)), &slot.ipv4));
    if is_own { Outcome::of_bucket(Bucket::Arp as u8) } else { Outcome::dropped(Bucket::Spoofed) }
}

#[inline(always)]
fn is_mac(mac: &[u8; 6], own: &[u8]) -> bool {
    let mut difference = 0;
    for at in 0..6 {
        difference |= mac[at] ^ own[at];
    }
    difference == 0
}

const ROUTER_SOLICITATION: u8 = 133;
const ROUTER_ADVERTISEMENT: u8 = 134;
const NEIGHBOUR_SOLICITATION: u8 = 135;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
const REDIRECT: u8 = 137;

/// What becomes of neighbour discovery (RFC 4861) and multicast listener discovery: a packed [`Outcome`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn discovery(context: *mut __sk_buff) -> u64 {
    let skb = Skb::from_context(context);
    match (case(), open_slot(skb.ifindex())) {
        (Some(case), Some(slot)) if case.packet.is_egress() => {
            judge_discovery(skb, &case.packet, slot).pack()
        }
        // What a router passes on is no discovery, as that never leaves its link.
        (Some(_), Some(_)) if skb.ingress_ifindex() != 0 => Outcome::FOR_RULES.pack(),
        (Some(_), Some(_)) => Outcome::of_bucket(Bucket::NeighborDiscovery as u8).pack(),
        _ => Outcome::dropped(Bucket::Closed).pack(),
    }
}

#[inline(always)]
fn judge_discovery(skb: Skb, packet: &Packet, slot: &EniSlot) -> Outcome {
    let kind = (packet.selector >> 8) as u8;
    if matches!(kind, ROUTER_ADVERTISEMENT | REDIRECT) {
        return Outcome::dropped(Bucket::Impersonation);
    }
    let source = words(&packet.key.source);
    let is_unspecified = source[0] | source[1] == 0;
    let is_believed = has_own_mac(skb, slot)
        && (is_unspecified || is_own(&source, slot))
        && match kind {
            NEIGHBOUR_SOLICITATION => {
                (!is_unspecified || target_is_own(skb, packet, slot))
                    && options_are_own(skb, packet, 24, slot)
            }
            NEIGHBOUR_ADVERTISEMENT => {
                target_is_own(skb, packet, slot) && options_are_own(skb, packet, 24, slot)
            }
            ROUTER_SOLICITATION => options_are_own(skb, packet, 8, slot),
            _ => true,
        };
    if !is_believed {
        Outcome::dropped(Bucket::Spoofed)
    } else if stays_on_link(skb, packet) {
        Outcome::of_bucket(Bucket::NeighborDiscovery as u8)
    } else {
        Outcome::FOR_RULES
    }
}

/// Whether a packet goes no further than to the router: else these messages would carry anything to anywhere, past all
/// rules.
#[inline(always)]
fn stays_on_link(skb: Skb, packet: &Packet) -> bool {
    let [first, second, ..] = packet.key.destination;
    first == 0xff || first == 0xfe && second & 0xc0 == 0x80 || route::find(skb, packet) == route::ROUTER
}

/// Whether an address is the ENI's: its IPv6 address, or the link-local one that follows from its MAC (RFC 4291,
/// appendix A).
#[inline(always)]
fn is_own(address: &Address, slot: &EniSlot) -> bool {
    const LINK_LOCAL: u64 = 0xfe80_0000_0000_0000;
    let mac = &slot.mac;
    let identifier = u64::from_be_bytes([mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]]);
    is_address(address, &slot.ipv6) || is_same(address, &[LINK_LOCAL.to_be(), identifier.to_be()])
}

/// Whether the target of a solicitation or advertisement is the ENI's.
#[inline(always)]
fn target_is_own(skb: Skb, packet: &Packet, slot: &EniSlot) -> bool {
    load::<Address>(skb, packet.transport + 8).is_some_and(|target| is_own(&target, slot))
}

/// Whether every link-layer address among the options, which begin so many bytes into the message, is the ENI's.
#[inline(always)]
fn options_are_own(skb: Skb, packet: &Packet, from: u32, slot: &EniSlot) -> bool {
    const MOST: u32 = 4;
    const SOURCE: u8 = 1;
    const TARGET: u8 = 2;
    let end = packet.length + crate::packet::ETHERNET;
    let mut at = packet.transport + from;
    for _ in 0..MOST {
        if at >= end {
            return true;
        }
        let Some(option) = load::<[u8; 8]>(skb, at) else {
            return false;
        };
        let mac = [option[2], option[3], option[4], option[5], option[6], option[7]];
        if matches!(option[0], SOURCE | TARGET) && !is_mac(&mac, &slot.mac[..6]) {
            return false;
        }
        if option[1] == 0 {
            return false;
        }
        at += u32::from(option[1]) * 8;
    }
    at >= end
}
