//! The ledgers, and the verdict.

use core::mem::MaybeUninit;

use aya_ebpf::bindings::{TC_ACT_OK, TC_ACT_SHOT};
use enid_abi::{Bucket, Count, Direction, EniState, Ledger, slot_of};

use crate::flow;
use crate::maps::{ENI_MASK, ENIS, LEDGERS};
use crate::packet::{self, ETHERNET, FLOW, Packet};
use crate::skb::Skb;

/// Accounts for a packet of the ENI whose host end it is on, and decides whether it goes on.
#[inline(always)]
pub fn account(skb: Skb, direction: Direction) -> i32 {
    let number = skb.ifindex();
    let slot = slot_of(number, ENI_MASK.load());
    let Some(eni) = ENIS.get(slot) else {
        return TC_ACT_SHOT;
    };
    if !eni.holds(number) {
        return TC_ACT_SHOT;
    }
    let open = eni.state == EniState::Open as u32;
    let Some(ledger) = LEDGERS.get_ptr_mut(direction.ledger_of(slot)) else {
        return TC_ACT_SHOT;
    };
    // SAFETY: a per-CPU value of the map. Plain additions are enough: a tc program runs with bottom halves disabled,
    // so no other program of this CPU comes in between, and other CPUs have values of their own.
    let ledger = unsafe { &mut *ledger };

    let mut packet = MaybeUninit::<Packet>::uninit();
    let (wire, bucket) = match packet::read(skb, direction, &mut packet) {
        Ok(()) => {
            // SAFETY: it was read.
            let packet = unsafe { packet.assume_init_mut() };
            let wire = packet::on_the_wire(skb, packet.length, packet.headers);
            let bucket = if !open {
                Bucket::Closed as u8
            } else if packet.bucket == FLOW && !flow::count(skb, packet, wire) {
                Bucket::Skipped as u8
            } else {
                packet.bucket
            };
            (wire, bucket)
        }
        Err(stop) => {
            let length = skb.len().saturating_sub(ETHERNET);
            let bucket = if open { stop.bucket() } else { Bucket::Closed };
            (packet::on_the_wire(skb, length, 0), bucket as u8)
        }
    };
    enter(ledger, skb, direction, wire, bucket)
}

/// Enters a packet in the ledgers.
#[inline(always)]
fn enter(ledger: &mut Ledger, skb: Skb, direction: Direction, wire: Count, bucket: u8) -> i32 {
    ledger.wire.add(wire);
    let mut dropped = false;
    if bucket != FLOW {
        const { assert!(Bucket::COUNT.is_power_of_two()) };
        // The verifier does not know that a bucket has a place; it can follow a mask.
        ledger.buckets[usize::from(bucket) & (Bucket::COUNT - 1)].add(wire);
        dropped = bucket == Bucket::InstanceMetadata as u8 || bucket == Bucket::Closed as u8;
    }
    // What the kernel counts: on ingress before this program, on egress after it, so not what is dropped here.
    if direction as u8 == Direction::Egress as u8 || !dropped {
        ledger.buffers += 1;
        ledger.layer2_bytes += u64::from(skb.len());
    }
    if dropped { TC_ACT_SHOT } else { TC_ACT_OK }
}
