//! Traffic classes: on whose behalf a flow runs.

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::bpf_skb_cgroup_id;
use aya_ebpf::helpers::generated::{bpf_sk_fullsock, bpf_sk_storage_get};
use enid_abi::{ClassTag, Direction, FlowKey, FlowValue};

use crate::maps::{CLASSES, SOCKET_CLASSES};
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

/// What the sender's socket or cgroup is tagged with, if it is for this ENI.
#[inline(always)]
fn tag(skb: Skb, key: &FlowKey) -> Option<u8> {
    if key.direction != Direction::Egress as u8 {
        return None;
    }
    // A class is a byte, what stands for none is not.
    u8::try_from(tag_of_sender(skb.as_ptr(), key.eni)).ok()
}

const NO_TAG: u32 = u32::MAX;

/// The sending socket's own tag, else that of the cgroup that it was made in. The socket is still known on the other end
/// of a veth.
///
/// A function of its own, so that the verifier looks at it once, not on each way to a flow's entry.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn tag_of_sender(context: *mut __sk_buff, eni: u32) -> u32 {
    let skb = Skb::from_context(context);
    let own = tag_of_socket(skb);
    // SAFETY: null, or a value of a map, which lives as long as the program runs.
    if !own.is_null() && unsafe { (*own).eni } == eni {
        // SAFETY: as above.
        return unsafe { (*own).class }.into();
    }
    // SAFETY: the context is valid for as long as the program runs.
    let cgroup = unsafe { bpf_skb_cgroup_id(skb.as_ptr()) };
    // SAFETY: the value is copied at once.
    match unsafe { CLASSES.get(&cgroup) } {
        Some(tag) if tag.eni == eni => tag.class.into(),
        _ => NO_TAG,
    }
}

/// The tag that the daemon gave the socket when it made it, or null.
#[inline(always)]
fn tag_of_socket(skb: Skb) -> *const ClassTag {
    let socket = skb.socket();
    if socket.is_null() {
        return core::ptr::null();
    }
    // SAFETY: the verifier knows the pointer as a socket's, or null, which was ruled out. What is no full socket, such as
    // one of a connection request, has no storage, and gives null.
    let socket = unsafe { bpf_sk_fullsock(socket) };
    if socket.is_null() {
        return core::ptr::null();
    }
    let map = (&raw const SOCKET_CLASSES).cast_mut().cast();
    // SAFETY: the map is one of socket storage, the socket is a full one, and nothing is made where nothing is.
    unsafe { bpf_sk_storage_get(map, socket.cast(), core::ptr::null_mut(), 0) }.cast()
}
