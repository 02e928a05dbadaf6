//! Refusals: what may not pass is counted by flow and reason, in a table of its own, so that a flood of it can't push
//! out what may.

use aya_ebpf::bindings::{__sk_buff, BPF_NOEXIST};
use enid_abi::{Bucket, Direction, Reason};

use crate::account::{InBucket, ledger_of};
use crate::case::{Aligned, Case, case, clear};
use crate::class;
use crate::flow::{add, fresh_windows};
use crate::maps::REFUSALS;
use crate::outcome::Outcome;
use crate::packet::FLOW;
use crate::skb::Skb;

/// Counts the case's packet as refused, for the reason with this number, by the ENI with this one if it is not the
/// packet's own, else 0. Returns a packed [`Outcome`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn refuse(context: *mut __sk_buff, reason: u32, target: u32) -> u64 {
    let Some(case) = case() else {
        return Outcome::dropped(Bucket::Unrecorded).pack();
    };
    let recorded = record(Skb::from_context(context), case, reason as u8, target);
    let unrecorded = InBucket(if recorded { FLOW } else { Bucket::Unrecorded as u8 });
    let (number, direction) = if target != 0 {
        (target, Direction::Ingress)
    } else if case.packet.is_egress() {
        (case.packet.key.eni, Direction::Egress)
    } else {
        (case.packet.key.eni, Direction::Ingress)
    };
    if let Some(ledger) = ledger_of(number, direction) {
        ledger.refused[reason as usize & (Reason::PLACES - 1)].add(case.wire);
        if target != 0 {
            unrecorded.enter(ledger, case.moment.interval, case.wire);
        }
    }
    let own = match (recorded, target) {
        (true, _) => FLOW,
        (false, 0) => Bucket::Unrecorded as u8,
        // Its own ENI has let it through.
        (false, _) => Bucket::Skipped as u8,
    };
    Outcome { action: Outcome::DROP, bucket: InBucket(own) }.pack()
}

/// Counts a packet in its refusal's entry; says whether there was room.
#[inline(always)]
fn record(skb: Skb, case: &mut Case, reason: u8, target: u32) -> bool {
    let Case { packet, wire, moment, refusal_key: Aligned(key), refusal: value, .. } = case;
    key.flow = packet.key;
    key.reason = reason;
    for generation in 0..2 {
        key.flow.generation = generation;
        if REFUSALS.get_ptr(&*key).is_none() {
            // SAFETY: integers only, and aligned.
            unsafe { clear(&raw mut *value) };
            value.target = target;
            value.class = class::of_sender(skb, &packet.key);
            fresh_windows(&mut value.windows, moment, packet.tcp_flags);
            // If another CPU was first, both find its entry.
            let _ = REFUSALS.insert(&*key, &*value, u64::from(BPF_NOEXIST));
        }
        let Some(entry) = REFUSALS.get_ptr_mut(&*key) else {
            return false;
        };
        // SAFETY: a value of the map.
        unsafe {
            if !(*entry).is_expired(moment.interval) && (*entry).target == target {
                add(&raw mut (*entry).windows[moment.interval.window()], moment, packet.tcp_flags, wire);
                return true;
            }
        }
    }
    false
}
