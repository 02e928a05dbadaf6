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
    /// The entry of its direction, or null.
    pub own: *mut FlowValue,
    /// That of the other, or null.
    pub reverse: *mut FlowValue,
    /// What was known before.
    pub state: State,
    /// Whether it begins the connection.
    pub is_fresh: bool,
    /// Which ENIs do not track it.
    pub bits: u8,
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
    let mut entry = step.own;
    // SAFETY: values of the map; fields are written one by one, and one that another CPU overwrites is set right by
    // the next packet that is decided.
    unsafe {
        if !entry.is_null() && ((*entry).target != step.deliver || packet.key.generation != 0) {
            // It leads elsewhere, or is not where later packets look first: it goes as soon as nothing is pending.
            (*entry).keep = 0;
            (*entry).changed = moment.now;
            // No packet of it is counted without being decided: one might be, after the entry has expired.
            (&raw mut (*entry).epoch).write_volatile(0);
            entry = core::ptr::null_mut();
        }
        if entry.is_null() || opens {
            clear(&raw mut *value);
            value.target = step.deliver;
            value.phase = phase;
            value.bits = bits;
            class::assign(skb, &packet.key, opens, value, step.reverse);
            if !step.own.is_null() && !opens {
                value.class = (*step.own).class;
                value.target_class = (*step.own).target_class;
            }
            if entry.is_null() {
                value.keep = longer;
                value.changed = moment.now;
                flow::fresh_windows(&mut value.windows, moment, packet.tcp_flags);
                entry = flow::place(&mut packet.key, value, step.slot.flow_limit, moment);
                if entry.is_null() {
                    return entry;
                }
            } else {
                (*entry).class = value.class;
                (*entry).target_class = value.target_class;
            }
        }
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
            (*reverse).bits = FlowValue::ANSWER | turned(bits, step.deliver);
        }
        if step.is_fresh || (*reverse).phase != phase {
            (*reverse).phase = phase;
            (*reverse).idle = shorter;
            keep(reverse, longer, moment);
            (&raw mut (*reverse).epoch).write_volatile(0);
        }
    }
    entry
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
