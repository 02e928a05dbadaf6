//! ICMP: requests and their replies, and errors, which belong to the flow whose packet they carry.

use aya_ebpf::bindings::__sk_buff;
use enid_abi::{Family, FlowKey, FlowValue};

use crate::bytes::load;
use crate::case::{Aligned, Case, case};
use crate::flow;
use crate::judge::Standing;
use crate::packet::Packet;
use crate::skb::Skb;
use crate::track::with_peer;

/// What an ICMP message is, as far as tracking is concerned.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Message {
    /// It asks for something, or tells it unasked.
    Request = 0,
    /// It replies.
    Reply = 1,
    /// It tells the sender of a packet what went wrong with it.
    Error = 2,
    /// It tells the sender of a packet that it was too big: without it, nothing that large would ever arrive.
    TooBig = 3,
}

impl Message {
    /// What a message of this type × 256 + code is (RFC 792, RFC 4443).
    #[inline(always)]
    pub fn of(family: u8, selector: u16) -> Self {
        const FRAGMENTATION_NEEDED: u16 = 0x0304;
        let kind = (selector >> 8) as u8;
        if family == Family::Ipv4 as u8 {
            match kind {
                _ if selector == FRAGMENTATION_NEEDED => Self::TooBig,
                3 | 11 | 12 => Self::Error,
                // Echo, timestamp.
                0 | 14 => Self::Reply,
                _ => Self::Request,
            }
        } else {
            match kind {
                2 => Self::TooBig,
                1 | 3 | 4 => Self::Error,
                129 => Self::Reply,
                _ => Self::Request,
            }
        }
    }
}

const ICMP_HEADER: u32 = 8;
const HOP_BY_HOP: u8 = 0;
const FRAGMENT: u8 = 44;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// An IPv4 header (RFC 791).
#[derive(Clone, Copy)]
#[repr(C)]
struct Ipv4 {
    version_and_words: u8,
    service: u8,
    length: u16,
    identification: u16,
    fragment: u16,
    time_to_live: u8,
    protocol: u8,
    checksum: u16,
    source: u32,
    destination: u32,
}

/// An IPv6 header (RFC 8200).
#[derive(Clone, Copy)]
#[repr(C)]
struct Ipv6 {
    version: u32,
    length: u16,
    next: u8,
    hop_limit: u8,
    addresses: [u64; 4],
}

/// How the case's packet, which is ICMP, stands: a [`Standing`], the same for its own ENI and for the one that it is
/// delivered to. `back` is the other end of the flow the other way, whose key the case has as the reverse key; of an error
/// the key of the flow that it is about is left there.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn standing(context: *mut __sk_buff, back: u32) -> u32 {
    match case() {
        Some(case) => of_message(Skb::from_context(context), case, back) as u32,
        None => Standing::Begins as u32,
    }
}

#[inline(always)]
fn of_message(skb: Skb, case: &mut Case, back: u32) -> Standing {
    let Case { packet, moment, state, reverse_key: Aligned(key), .. } = case;
    let message = Message::of(packet.key.family, packet.selector) as u32;
    if message == Message::Request as u32 {
        return Standing::Begins;
    }
    if message == Message::Reply as u32 {
        let is_asked = state.reverse_bits & FlowValue::REQUESTED != 0;
        return if is_asked { Standing::Continues } else { Standing::Begins };
    }
    // What the router itself has to say to a task was never received: it is about the task's own packets.
    if !packet.is_egress() && skb.ingress_ifindex() == 0 {
        return Standing::Related;
    }
    // It goes to the one whose packet it is about.
    if !carried(skb, packet, key) || key.source != packet.key.destination {
        return Standing::Begins;
    }
    // Between tasks there is nobody on the way: a task has its word on what was sent to it, and no other.
    let is_from_task = packet.is_egress() || back != 0;
    let is_about_own = !is_from_task || key.destination == packet.key.source;
    let is_known = is_about_own && !with_peer(flow::find(key, back, moment), back).is_null();
    // From outside no flow is asked for: it may be forgotten, and without an answer to packets that are too big for the way
    // nothing large would ever arrive.
    if is_known || !is_from_task && message == Message::TooBig as u32 {
        Standing::Related
    } else {
        Standing::Begins
    }
}

/// Puts the 5-tuple of the packet that an ICMP error carries into a key that has the rest already. Says whether it
/// could.
#[inline(never)]
fn carried(skb: Skb, packet: &Packet, key: &mut FlowKey) -> bool {
    let inner = packet.transport + ICMP_HEADER;
    let at;
    let (source, destination): ([u64; 2], [u64; 2]);
    if key.family == Family::Ipv4 as u8 {
        let Some(header) = load::<Ipv4>(skb, inner) else {
            return false;
        };
        source = [0, u64::from(header.source) << 32 | 0xffff_0000];
        destination = [0, u64::from(header.destination) << 32 | 0xffff_0000];
        key.protocol = header.protocol;
        at = inner + u32::from(header.version_and_words & 0xf) * 4;
    } else {
        let Some(header) = load::<Ipv6>(skb, inner) else {
            return false;
        };
        source = [header.addresses[0], header.addresses[1]];
        destination = [header.addresses[2], header.addresses[3]];
        key.protocol = header.next;
        let mut end = inner + 40;
        // What a buffer of more than 64 KiB has instead of a length (RFC 2675).
        if key.protocol == HOP_BY_HOP {
            let Some([next, words, ..]) = load::<[u8; 8]>(skb, end) else {
                return false;
            };
            key.protocol = next;
            end += (u32::from(words) + 1) * 8;
        }
        if key.protocol == FRAGMENT {
            let Some([next, ..]) = load::<[u8; 8]>(skb, end) else {
                return false;
            };
            key.protocol = next;
            end += 8;
        }
        at = end;
    }
    // SAFETY: 16 bytes each.
    unsafe {
        core::ptr::from_mut(&mut key.source).cast::<[u64; 2]>().write_unaligned(source);
        core::ptr::from_mut(&mut key.destination).cast::<[u64; 2]>().write_unaligned(destination);
    }
    let mut ports = [0_u16; 2];
    if matches!(key.protocol, TCP | UDP) {
        let Some(loaded) = load::<[u16; 2]>(skb, at) else {
            return false;
        };
        ports = loaded;
    }
    key.source_port = u16::from_be(ports[0]);
    key.destination_port = u16::from_be(ports[1]);
    true
}
