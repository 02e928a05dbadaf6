//! Traffic classes: on whose behalf a flow runs.

use aya_ebpf::helpers::bpf_skb_cgroup_id;
use enid_abi::{Direction, FlowKey, FlowValue};

use crate::maps::CLASSES;
use crate::skb::Skb;

const APPLICATION: u8 = 0;

/// The class of what a socket sends, by its cgroup; `application` where it has no tag.
#[inline(always)]
pub fn of_sender(skb: Skb, key: &FlowKey) -> u8 {
    tag(skb, key).unwrap_or(APPLICATION)
}

/// Gives an entry its classes when its first packet comes, or when one opens a connection on old ports, which may be
/// somebody else's: its sender's tag, else the class of the flow it answers. `opens` says that there is nothing it
/// could answer.
///
/// # Safety
///
/// `reverse` is null or a value of the flow table.
#[inline(always)]
pub unsafe fn assign(skb: Skb, key: &FlowKey, opens: bool, value: &mut FlowValue, reverse: *mut FlowValue) {
    let tag = tag(skb, key);
    // SAFETY: the caller's; single bytes, whole whoever writes them.
    unsafe {
        let reverse = if reverse.is_null() { None } else { Some(reverse) };
        // What the other direction has for this ENI.
        let of_reverse = reverse.map(|reverse| match (&*reverse).target() {
            0 => &raw mut (*reverse).class,
            _ => &raw mut (*reverse).target_class,
        });
        value.class = match (tag, opens, of_reverse) {
            (None, false, Some(class)) => class.read_volatile(),
            (tag, _, of_reverse) => {
                let class = tag.unwrap_or(APPLICATION);
                // The task answers: the flow that came first had nobody to ask.
                if let Some(of_reverse) = of_reverse {
                    of_reverse.write_volatile(class);
                }
                class
            }
        };
        value.target_class = match reverse {
            Some(reverse) if (&*reverse).target() != 0 => (&raw const (*reverse).class).read_volatile(),
            _ => APPLICATION,
        };
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
