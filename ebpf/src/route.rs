//! The route of a flow's first packet: the kernel's own, in the VPC router's namespace.

use core::mem::MaybeUninit;

use aya_ebpf::bindings::bpf_fib_lookup as Parameters;
use aya_ebpf::helpers::bpf_fib_lookup;
use enid_abi::Family;

use crate::case::{Aligned, clear};
use crate::packet::Packet;
use crate::policy::words;
use crate::skb::Skb;

/// There is none.
pub const NONE: u32 = 0;
/// Out of the VPC: the kernel knows the way on.
pub const KERNEL: u32 = 1;
/// It ends at the router.
pub const ROUTER: u32 = 2;
/// To many at once, which a VPC does not have, or to another MAC than the router's: it goes nowhere, nor does the router
/// listen.
pub const MANY: u32 = 3;
/// ENI numbers begin here; a larger answer than the others is the ENI to deliver to.
pub const FIRST_ENI: u32 = 1_000_000;

/// The ENI of this host that a packet comes from by the kernel's way; 0 if it comes from elsewhere.
#[inline(always)]
pub fn sender(skb: Skb) -> u32 {
    let received_by = skb.ingress_ifindex();
    if received_by >= FIRST_ENI { received_by } else { 0 }
}

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const SUCCESS: i64 = 0;
const NOT_FORWARDED: i64 = 4;
const NO_NEIGHBOUR: i64 = 7;
const FRAGMENTATION_NEEDED: i64 = 8;

/// Where a packet goes: [`NONE`], [`KERNEL`], [`ROUTER`], [`MANY`], or the number of an ENI of this host.
#[inline(never)]
pub fn find(skb: Skb, packet: &Packet) -> u32 {
    let key = &packet.key;
    if is_multicast(key.family, &key.destination) {
        return MANY;
    }
    let mut parameters = Aligned(MaybeUninit::<Parameters>::uninit());
    // SAFETY: integers only, 64 bytes of them.
    let parameters = unsafe {
        clear(&raw mut parameters);
        parameters.0.assume_init_mut()
    };
    parameters.ifindex = key.eni;
    parameters.l4_protocol = key.protocol;
    if key.family == Family::Ipv4 as u8 {
        parameters.family = AF_INET;
        parameters.__bindgen_anon_3.ipv4_src = last_word(&key.source);
        parameters.__bindgen_anon_4.ipv4_dst = last_word(&key.destination);
    } else {
        parameters.family = AF_INET6;
        parameters.__bindgen_anon_3.ipv6_src = four_words(&key.source);
        parameters.__bindgen_anon_4.ipv6_dst = four_words(&key.destination);
    }
    // SAFETY: the structure is as long as it says.
    let answer = unsafe {
        bpf_fib_lookup(skb.as_ptr().cast(), &raw mut *parameters, size_of::<Parameters>() as i32, 0)
    };
    match answer {
        SUCCESS | NO_NEIGHBOUR | FRAGMENTATION_NEEDED if parameters.ifindex >= FIRST_ENI => {
            parameters.ifindex
        }
        SUCCESS | NO_NEIGHBOUR | FRAGMENTATION_NEEDED => KERNEL,
        // The router's tables end in an unreachable route, so what is not forwarded is the router's own.
        NOT_FORWARDED => ROUTER,
        _ => NONE,
    }
}

/// Multicast or broadcast.
#[inline(always)]
fn is_multicast(family: u8, address: &[u8; 16]) -> bool {
    if family == Family::Ipv4 as u8 { address[12] >= 224 } else { address[0] == 0xff }
}

#[inline(always)]
fn last_word(address: &[u8; 16]) -> u32 {
    (words(address)[1] >> 32) as u32
}

#[inline(always)]
fn four_words(address: &[u8; 16]) -> [u32; 4] {
    let [upper, lower] = words(address);
    [upper as u32, (upper >> 32) as u32, lower as u32, (lower >> 32) as u32]
}
