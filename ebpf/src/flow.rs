//! The flow table: finding entries, making them, and counting in them.

use aya_ebpf::bindings::BPF_NOEXIST;
use enid_abi::{Count, Direction, FlowKey, FlowValue, Interval, Mark, Tick, Window, is_over, slot_of};

use crate::atomic;
use crate::deliver::{is_too_large, open_slot};
use crate::maps::{ENI_MASK, FLOW_COUNTS, FLOWS, FLOWS_DELETED};
use crate::now::Moment;
use crate::packet::Packet;
use crate::route;
use crate::skb::Skb;

/// Counts a packet of an established flow, the fast way: nothing to decide, as its entry was allowed in this epoch, is
/// not idle, and has the packet's other end. Returns where its packets go, as [`FlowValue::target`]; none if it has to
/// be decided.
#[inline(always)]
pub fn count_established(
    skb: Skb,
    packet: &Packet,
    wire: &Count,
    moment: &Moment,
    direction: Direction,
) -> Option<u32> {
    let entry = FLOWS.get_ptr_mut(&packet.key)?;
    // SAFETY: a value of the map. Other CPUs may change fields meanwhile; each is read once.
    unsafe {
        if (&raw const (*entry).epoch).read_volatile() != moment.epoch {
            return None;
        }
        let window = &raw mut (*entry).windows[moment.interval.window()];
        let mark = Mark::from_bits((&raw const (*window).mark).read_volatile());
        let last = if mark.interval() == moment.interval { (*window).last } else { (*entry).last() };
        // An entry is kept for longer than it may be idle: one that may be deleted is idle too.
        if is_over(moment.now, last, (&raw const (*entry).idle).read_volatile()) {
            return None;
        }
        let peer = (*entry).peer;
        let mut target = 0;
        if direction as u8 == Direction::Ingress as u8 {
            if peer != route::sender(skb) {
                return None;
            }
        } else if peer != 0 {
            let slot = open_slot(peer)?;
            if (*entry).bits & FlowValue::ROUTED == 0 {
                if is_too_large(skb, packet, slot) {
                    return None;
                }
                target = peer;
            }
        }
        add(window, moment, packet.tcp_flags, wire);
        Some(target)
    }
}

/// The entry of a flow that has not expired, or null. Leaves its generation in the key, which comes with 0.
///
/// Of two the one that was not given up in favour of the other. One of the second generation is found if it has the flow's
/// other end, `peer`.
#[inline(never)]
pub fn find(key: &mut FlowKey, peer: u32, moment: &Moment) -> *mut FlowValue {
    let mut given_up = core::ptr::null_mut();
    for generation in 0..2 {
        if generation == 1 && !has_second_generation(key.payer(peer)) {
            break;
        }
        key.generation = generation;
        let Some(entry) = FLOWS.get_ptr_mut(&*key) else {
            continue;
        };
        // SAFETY: a value of the map.
        unsafe {
            if (*entry).is_expired(moment.began) {
                continue;
            }
            if (*entry).keep != 0 {
                return entry;
            }
        }
        given_up = entry;
    }
    key.generation = 0;
    given_up
}

/// Whether an ENI may have an entry of the second generation: most often there is none, and
/// looking for one costs as much as looking for the first.
#[inline(always)]
fn has_second_generation(eni: u32) -> bool {
    let slot = slot_of(eni, ENI_MASK.load());
    let (Some(count), Some(deleted)) = (FLOW_COUNTS.get_ptr(slot), FLOWS_DELETED.get_ptr(slot)) else {
        return false;
    };
    // SAFETY: values of the maps. Who deletes counts it afterwards; who makes one does so before its packet goes on.
    unsafe { (&raw const (*count).made[1]).read_volatile() != (&raw const (*deleted)[1]).read_volatile() }
}

/// Finds the entry of a flow that has the same other end and way, or makes it with these contents. Null where there is no room.
///
/// What an ENI sends by the kernel's way is counted for itself alone: its entry goes on with whoever has the address now.
/// Else each that has had it would take an entry, of which there are two.
#[inline(never)]
pub fn place(key: &mut FlowKey, value: &FlowValue, moment: &Moment) -> *mut FlowValue {
    for generation in 0..2 {
        key.generation = generation;
        // Most often there is none: making it takes no look before. If there is one, it stays.
        let has_room = insert(key, value);
        let Some(entry) = FLOWS.get_ptr_mut(&*key) else {
            if !has_room {
                note_full(key.payer(value.peer), moment);
            }
            return core::ptr::null_mut();
        };
        // SAFETY: a value of the map.
        let is_sent =
            u32::from(key.direction) == Direction::Egress as u32 && value.bits & FlowValue::ROUTED != 0;
        let entry_is_same = unsafe {
            !(*entry).is_expired(moment.began)
                && ((*entry).peer == value.peer) | is_sent
                && ((*entry).bits ^ value.bits) & FlowValue::ROUTED == 0
        };
        if entry_is_same {
            return entry;
        }
    }
    core::ptr::null_mut()
}

/// Makes an entry, unless there is one. Says whether there was room.
#[inline(always)]
fn insert(key: &FlowKey, value: &FlowValue) -> bool {
    let payer = key.payer(value.peer);
    let Some(limit) = open_slot(payer).map(|slot| slot.flow_limit) else {
        return false;
    };
    let slot = slot_of(payer, ENI_MASK.load());
    let (Some(count), Some(deleted)) = (FLOW_COUNTS.get_ptr_mut(slot), FLOWS_DELETED.get_ptr(slot)) else {
        return false;
    };
    const EXISTS: i32 = -17;
    // SAFETY: values of the maps; several CPUs may be at its limit at once, and exceed it by as many.
    unsafe {
        let entries = |generation: usize| {
            let made = (&raw const (*count).made[generation]).read_volatile();
            made.wrapping_sub((&raw const (*deleted)[generation]).read_volatile())
        };
        if entries(0).wrapping_add(entries(1)) >= u64::from(limit) {
            return false;
        }
        // Whoever is first, both find the one entry: hence not BPF_ANY, which would replace it.
        match FLOWS.insert(key, value, u64::from(BPF_NOEXIST)) {
            Ok(()) => {
                atomic::add(&raw mut (*count).made[usize::from(key.generation & 1)], 1);
                true
            }
            Err(error) => error == EXISTS,
        }
    }
}

/// Notes that a flow of an ENI found no room.
#[inline(always)]
fn note_full(eni: u32, moment: &Moment) {
    if let Some(count) = FLOW_COUNTS.get_ptr_mut(slot_of(eni, ENI_MASK.load())) {
        // SAFETY: a value of the map.
        unsafe {
            (&raw mut (*count).last_full).write_volatile(moment.now);
            (&raw mut (*count).was_full).write_volatile(1);
        }
    }
}

/// The windows of an entry that is about to be made: it is never without a mark, or user space could take it for
/// expired before its first packet is added.
#[inline(always)]
pub fn fresh_windows(windows: &mut [Window; 2], moment: &Moment, flags: u8) {
    let window = &mut windows[moment.interval.window()];
    window.mark = Mark::new(moment.interval, flags, moment.now).bits();
    window.last = moment.now;
}

/// Adds a packet to a window.
///
/// # Safety
///
/// The window is in a value of the flow table or of the table of refusals.
#[inline(always)]
pub unsafe fn add(window: *mut Window, moment: &Moment, flags: u8, wire: &Count) {
    // SAFETY: the caller's. The mark is read once, as another CPU may be changing it.
    unsafe {
        let mark = Mark::from_bits((&raw const (*window).mark).read_volatile());
        if mark.interval() != moment.interval {
            begin(window, mark, moment.interval, flags, moment.now);
        } else if flags & !mark.flags() != 0 {
            atomic::set_bits(&raw mut (*window).mark, Mark::flag_bits(flags));
        }
        atomic::add(&raw mut (*window).packets, wire.packets);
        atomic::add(&raw mut (*window).bytes, wire.bytes);
        // Two CPUs that meet within a tick may leave the earlier time: off by one tick.
        (&raw mut (*window).last).write_volatile(moment.now);
    }
}

/// Begins a window's interval.
///
/// # Safety
///
/// As for [`add`].
#[inline(always)]
unsafe fn begin(window: *mut Window, mark: Mark, interval: Interval, flags: u8, now: Tick) {
    let begun = Mark::new(interval, flags, now);
    // SAFETY: the caller's.
    unsafe {
        // Only the beginning of this interval changes an old mark: who fails finds it begun by another CPU.
        if !atomic::replace(&raw mut (*window).mark, mark.bits(), begun.bits()) {
            atomic::set_bits(&raw mut (*window).mark, Mark::flag_bits(flags));
        }
    }
}
