//! Delivery into another ENI of this host, without the kernel's routing.

use aya_ebpf::bindings::TC_ACT_SHOT;
use aya_ebpf::helpers::bpf_redirect_peer;
use enid_abi::{Count, Direction, EniSlot, Interval, slot_of};

use crate::account::{InBucket, ledger_of};
use crate::maps::{ENI_MASK, ENIS};
use crate::packet::Packet;
use crate::skb::Skb;

/// The slot of an ENI that is open.
#[inline(always)]
pub fn open_slot<'a>(number: u32) -> Option<&'a EniSlot> {
    ENIS.get(slot_of(number, ENI_MASK.load())).filter(|slot| slot.is_open(number))
}

/// Whether a packet is larger than an ENI takes: then the kernel has to say so to its sender, or to fragment it.
#[inline(always)]
pub fn is_too_large(skb: Skb, packet: &Packet, slot: &EniSlot) -> bool {
    let size = match skb.gso_size() {
        0 => packet.length,
        segment => segment + packet.headers,
    };
    size > slot.mtu
}

/// Counts a packet for its receiver and hands it to the receiver's end of the link.
#[inline(always)]
pub fn deliver(skb: Skb, receiver: u32, interval: Interval, wire: Count, bucket: InBucket) -> i32 {
    let Some(ledger) = ledger_of(receiver, Direction::Ingress) else {
        return TC_ACT_SHOT;
    };
    ledger.buffers += 1;
    ledger.layer2_bytes += u64::from(skb.len());
    bucket.enter(ledger, interval, wire);
    // The frame was sent to the router's MAC, and the host end has marked it as received for this host: its new
    // receiver takes it as it is. Writing the receiver's MAC would cost as much as all the counting.
    // SAFETY: no pointers.
    unsafe { bpf_redirect_peer(receiver, 0) as i32 }
}
