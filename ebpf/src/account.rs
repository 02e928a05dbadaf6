//! A packet's way through a program: read, judged, counted, sent on.

use aya_ebpf::bindings::{TC_ACT_OK, TC_ACT_SHOT};
use enid_abi::{Bucket, Count, Direction, EniSlot, EniState, Interval, Ledger, slot_of};

use crate::case::{Case, case};
use crate::maps::{ENI_MASK, ENIS, LEDGERS};
use crate::now::Moment;
use crate::outcome::Outcome;
use crate::packet::{self, ETHERNET, FLOW, Stop};
use crate::skb::Skb;
use crate::{claim, decide, deliver, flow};

/// Judges and counts a packet of the ENI whose host end it is on, and sends it on its way.
#[inline(always)]
pub fn account(skb: Skb, direction: Direction) -> i32 {
    let number = skb.ifindex();
    let Some(slot) = ENIS.get(slot_of(number, ENI_MASK.load())) else {
        return TC_ACT_SHOT;
    };
    if !slot.holds(number) {
        return TC_ACT_SHOT;
    }
    let Some(ledger) = ledger_of(number, direction) else {
        return TC_ACT_SHOT;
    };

    let Some(case) = case() else {
        return TC_ACT_SHOT;
    };

    // One moment for the packet, so that ledger and flow count it in the same interval. Kept in the case: the stack is full.
    case.moment = Moment::read();
    let (wire, outcome) = match packet::read(skb, direction, &mut case.packet) {
        Ok(()) => {
            let wire = packet::on_the_wire(skb, case.packet.length, case.packet.headers);
            (wire, outcome(skb, slot, direction, case, wire))
        }
        Err(stop) => {
            let length = skb.len().saturating_sub(ETHERNET);
            (packet::on_the_wire(skb, length, 0), stopped(skb, slot, direction, stop))
        }
    };
    let interval = case.moment.interval;
    outcome.bucket.enter(ledger, interval, wire);
    // What the kernel counts: on ingress before this program, on egress after it, so not what is dropped here.
    if direction as u8 == Direction::Egress as u8 || outcome.action != Outcome::DROP {
        ledger.buffers += 1;
        ledger.layer2_bytes += u64::from(skb.len());
    }
    match outcome.action {
        Outcome::PASS => TC_ACT_OK,
        Outcome::DROP => TC_ACT_SHOT,
        receiver => deliver::deliver(skb, receiver, interval, wire, outcome.bucket),
    }
}

/// What becomes of an IP packet.
#[inline(always)]
fn outcome(skb: Skb, slot: &EniSlot, direction: Direction, case: &mut Case, wire: Count) -> Outcome {
    if slot.state != EniState::Open as u32 {
        return Outcome::dropped(Bucket::Closed);
    }
    let packet = &mut case.packet;
    let is_egress = direction as u8 == Direction::Egress as u8;
    if packet.bucket != FLOW {
        let outcome = if packet.bucket == Bucket::NeighborDiscovery as u8 {
            Outcome::unpack(claim::discovery(skb.as_ptr()))
        } else {
            Outcome::of_bucket(packet.bucket)
        };
        if !outcome.is_for_rules() {
            return outcome;
        }
    }
    if !packet.is_rare && (!is_egress || claim::has_own_mac(skb, slot) && claim::is_for_router(skb)) {
        if let Some(receiver) = flow::count_established(skb, packet, &wire, &case.moment, direction) {
            return Outcome::counted(receiver);
        }
    }
    case.wire = wire;
    Outcome::unpack(decide::decide(skb.as_ptr()))
}

/// What becomes of a frame that is no IP packet.
#[inline(always)]
fn stopped(skb: Skb, slot: &EniSlot, direction: Direction, stop: Stop) -> Outcome {
    if slot.state != EniState::Open as u32 {
        return Outcome::dropped(Bucket::Closed);
    }
    if direction as u8 == Direction::Egress as u8 && stop as u32 == Stop::Arp as u32 {
        return Outcome::unpack(claim::arp(skb.as_ptr()));
    }
    Outcome::of_bucket(stop.bucket() as u8)
}

/// Where an outcome is counted, if not in a flow.
#[derive(Clone, Copy)]
pub struct InBucket(pub u8);

impl InBucket {
    /// Counts a packet in ledger (b), and in its bucket, if it is not in a flow or a refusal.
    #[inline(always)]
    pub fn enter(self, ledger: &mut Ledger, interval: Interval, wire: Count) {
        const { assert!(Bucket::PLACES.is_power_of_two()) };
        let window = interval.window();
        ledger.wire[window].add(wire);
        if self.0 != FLOW {
            // The verifier does not know that a bucket has a place; it can follow a mask.
            ledger.buckets[window][usize::from(self.0) & (Bucket::PLACES - 1)].add(wire);
        }
    }
}

/// The ledger of an ENI and direction on this CPU.
#[inline(always)]
pub fn ledger_of<'a>(number: u32, direction: Direction) -> Option<&'a mut Ledger> {
    let index = direction.ledger_of(slot_of(number, ENI_MASK.load()));
    // SAFETY: a per-CPU value of the map. Plain additions are enough: a tc program runs with bottom halves disabled,
    // so no other program of this CPU comes in between, and other CPUs have values of their own.
    LEDGERS.get_ptr_mut(index).map(|ledger| unsafe { &mut *ledger })
}
