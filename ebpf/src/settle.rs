//! What a packet that was let through does to its connection's entries.

use enid_abi::{EniSlot, FlowValue, Tick};

use crate::case::clear;
use crate::now::Moment;
use crate::packet::Packet;
use crate::skb::Skb;
use crate::track::{State, advance, idle, is_unsettled, opens, turned};
use crate::{class, flow};

/// A packet's step in its connection.
pub struct Step<'a> {
    /// The entry of its direction, whichever other end that has, or null.
    pub own: *mut FlowValue,
    /// That of the other, or null.
    pub reverse: *mut FlowValue,
    /// What was known before.
    pub state: State,
    /// Whether it begins the connection.
    pub is_fresh: bool,
    /// Which ENIs do not track it, and whether it takes the kernel's way to another.
    pub bits: u8,
    /// The ENI at its other end, or 0.
    pub peer: u32,
    /// The ENI that it is delivered to, or 0.
    pub deliver: u32,
    /// The slot of the packet's ENI.
    pub slot: &'a EniSlot,
    /// The receiver's slot, if its ENI is on this host, else the sender's.
    pub receiver: &'a EniSlot,
}

/// Brings the entries of both directions to where the connection is after a packet. Returns that of its own, made if
/// there was none, or null where there is no room.
#[inline(never)]
pub fn settle(
    skb: Skb,
    packet: &mut Packet,
    step: &Step<'_>,
    moment: &Moment,
    value: &mut FlowValue,
) -> *mut FlowValue {
    let (phase, bits) = advance(packet, &step.state, step.is_fresh, !step.reverse.is_null());
    let bits = bits | step.bits;
    let idle_times = (idle(step.slot, phase), idle(step.receiver, phase));
    let (shorter, longer) =
        if idle_times.0 < idle_times.1 { idle_times } else { (idle_times.1, idle_times.0) };
    let opens = opens(packet);
    let own = step.own;
    let mut entry = own;
    // SAFETY: values of the map; fields are written one by one, and one that another CPU overwrites is set right by
    // the next packet that is decided.
    unsafe {
        let has_other_end = !own.is_null() && (*own).peer != step.peer;
        let leads_elsewhere = has_other_end || !own.is_null() && (&*own).target() != step.deliver;
        // It leads elsewhere, or is not where later packets look first.
        if leads_elsewhere || packet.key.generation != 0 {
            entry = core::ptr::null_mut();
        }
        if entry.is_null() || opens {
            clear(&raw mut *value);
            value.peer = step.peer;
            value.phase = phase;
            value.bits = bits;
            class::assign(skb, &packet.key, opens, value, step.reverse);
            if !own.is_null() && !opens && !has_other_end {
                value.class = (*own).class;
                value.target_class = (*own).target_class;
            }
        }
        if entry.is_null() {
            value.keep = longer;
            value.changed = moment.now;
            flow::fresh_windows(&mut value.windows, moment, packet.tcp_flags);
            entry = flow::place(&mut packet.key, value, moment);
            if entry.is_null() && (own.is_null() || leads_elsewhere) {
                return entry;
            }
            if entry.is_null() {
                // There is no room where it would be found sooner: it stays where it is.
                entry = own;
            } else if !own.is_null() && entry != own {
                give_up(own, moment);
            }
        } else if opens {
            (*entry).class = value.class;
            (*entry).target_class = value.target_class;
        }
        (*entry).peer = step.peer;
        (*entry).phase = phase;
        (*entry).bits = bits;
        (*entry).idle = shorter;
        keep(entry, longer, moment);
        let is_unsettled = is_unsettled(packet, phase, bits);
        (&raw mut (*entry).epoch).write_volatile(if is_unsettled { 0 } else { moment.epoch });

        let reverse = step.reverse;
        if reverse.is_null() || packet.is_icmp() {
            return entry;
        }
        if step.is_fresh {
            let way = (*reverse).bits & FlowValue::ROUTED;
            (*reverse).bits = FlowValue::ANSWER | turned(bits, step.deliver) | way;
        }
        if step.is_fresh || (*reverse).phase != phase {
            (*reverse).phase = phase;
            (*reverse).idle = shorter;
            keep(reverse, longer, moment);
            let is_settled = !step.is_fresh && needs_no_decision(reverse, packet, step, phase, bits);
            (&raw mut (*reverse).epoch).write_volatile(if is_settled { moment.epoch } else { 0 });
        }
    }
    entry
}

/// Whether a decision about the next packet the other way could only let it through to where its entry leads: between
/// two ENIs of this host that both track the connection, which has come to a phase that this packet does not change.
///
/// # Safety
///
/// `reverse` is a value of the flow table.
#[inline(always)]
unsafe fn needs_no_decision(
    reverse: *mut FlowValue,
    packet: &Packet,
    step: &Step<'_>,
    phase: u8,
    bits: u8,
) -> bool {
    const UNTRACKED: u8 = FlowValue::UNTRACKED_OWN | FlowValue::UNTRACKED_TARGET;
    // SAFETY: the caller's.
    let (target, reverse_bits) = unsafe { ((&*reverse).target(), (*reverse).bits) };
    step.deliver != 0
        && target == packet.key.eni
        && (bits | reverse_bits) & UNTRACKED == 0
        && !is_unsettled(packet, phase, reverse_bits)
}

/// Gives an entry up in favour of another: it expires as soon as nothing is pending.
///
/// # Safety
///
/// The entry is a value of the flow table.
#[inline(always)]
unsafe fn give_up(entry: *mut FlowValue, moment: &Moment) {
    // SAFETY: the caller's.
    unsafe {
        // No packet of it is counted without being decided: one might be, after the entry has expired.
        (&raw mut (*entry).epoch).write_volatile(0);
        (&raw mut (*entry).changed).write_volatile(moment.now);
        (&raw mut (*entry).keep).write_volatile(0);
    }
}

/// Sets how long an entry is kept.
///
/// # Safety
///
/// The entry is a value of the flow table.
#[inline(always)]
unsafe fn keep(entry: *mut FlowValue, ticks: Tick, moment: &Moment) {
    // SAFETY: the caller's.
    unsafe {
        if (*entry).keep != ticks {
            // Were it to expire by a moment that is past, another CPU could be adding to it while it is deleted.
            (&raw mut (*entry).changed).write_volatile(moment.now);
            (&raw mut (*entry).keep).write_volatile(ticks);
        }
    }
}
