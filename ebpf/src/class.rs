//! Traffic classes: on whose behalf a flow runs.

use aya_ebpf::helpers::bpf_skb_cgroup_id;
use enid_abi::{Direction, FlowKey, FlowValue, Interval};

use crate::flow::{Place, find};
use crate::maps::{CLASSES, FLOWS};
use crate::skb::Skb;

const APPLICATION: u8 = 0;

/// The class of a flow whose first packet this is: its sender's tag, else the class of the flow it answers.
/// `opens` says that the packet opens a connection, so that there is nothing it could answer.
#[inline(always)]
pub fn of_first_packet(skb: Skb, key: &FlowKey, opens: bool, interval: Interval) -> u8 {
    let tag = tag(skb, key);
    let Some(reverse) = reverse(key, interval) else {
        return tag.unwrap_or(APPLICATION);
    };
    match (tag, opens) {
        (None, false) => read(reverse),
        (tag, _) => {
            let class = tag.unwrap_or(APPLICATION);
            // The task answers: the flow that came first had nobody to ask.
            write(reverse, class);
            class
        }
    }
}

/// Gives a connection that opens over an old entry the class of its sender, both ways.
#[inline(never)]
pub fn assign(skb: Skb, key: &FlowKey, interval: Interval) {
    let class = tag(skb, key).unwrap_or(APPLICATION);
    if let Some(entry) = FLOWS.get_ptr_mut(key) {
        write(entry, class);
    }
    if let Some(reverse) = reverse(key, interval) {
        write(reverse, class);
    }
}

/// The tag of the cgroup that the sending socket was made in. The socket is still known on the other end of a veth.
#[inline(always)]
fn tag(skb: Skb, key: &FlowKey) -> Option<u8> {
    if key.direction != Direction::Egress as u8 {
        return None;
    }
    // SAFETY: the context is valid for as long as the program runs.
    let cgroup = unsafe { bpf_skb_cgroup_id(skb.as_ptr()) };
    // SAFETY: the value is copied at once.
    let tag = unsafe { CLASSES.get(&cgroup) }?;
    (tag.eni == key.eni).then_some(tag.class)
}

#[inline(always)]
fn reverse(key: &FlowKey, interval: Interval) -> Option<*mut FlowValue> {
    let mut key = key.reverse();
    match find(&mut key, interval) {
        Place::Found(entry) => Some(entry),
        _ => None,
    }
}

#[inline(always)]
fn read(entry: *mut FlowValue) -> u8 {
    // SAFETY: a value of the flow table; one byte, whole whoever writes it.
    unsafe { (&raw const (*entry).class).read_volatile() }
}

#[inline(always)]
fn write(entry: *mut FlowValue, class: u8) {
    // SAFETY: a value of the flow table; one byte, whole whoever writes it.
    unsafe { (&raw mut (*entry).class).write_volatile(class) };
}
