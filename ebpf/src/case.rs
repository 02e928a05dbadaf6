//! The packet that a program is at, and what the decision about it needs: in a map and not on the stack, of which a
//! program and its functions have 512 bytes together.
//!
//! Functions that take and return nothing but numbers and the context, and have a name of their own, are verified by
//! themselves, once, and not anew on each of the many paths to them. They find the rest here.

use aya_ebpf::btf_maps::PerCpuArray;
use aya_ebpf::macros::btf_map;
use enid_abi::{Count, FlowKey, FlowValue, PolicyPacket, RefusalKey, RefusalValue};

use crate::judge::Part;
use crate::now::Moment;
use crate::packet::Packet;
use crate::track::State;

/// One packet.
#[repr(C)]
pub struct Case {
    /// What it says.
    pub packet: Packet,
    /// What it counts.
    pub wire: Count,
    /// When it came.
    pub moment: Moment,
    /// The key of the flow the other way.
    pub reverse_key: Aligned<FlowKey>,
    /// The key of a refusal.
    pub refusal_key: Aligned<RefusalKey>,
    /// What is known of its connection.
    pub state: State,
    /// The part in it of the ENI that is to judge it.
    pub part: Part,
    /// What rules are asked about.
    pub question: PolicyPacket,
    /// An entry that is about to be made.
    pub flow: FlowValue,
    /// A refusal that is about to be made.
    pub refusal: RefusalValue,
}

/// Aligned so that it is copied in words of 8 bytes.
#[repr(C, align(8))]
pub struct Aligned<T>(pub T);

#[btf_map]
static CASE: PerCpuArray<Case, 1> = PerCpuArray::new();

/// The case of this CPU. A tc program runs with bottom halves disabled: no other packet comes in between.
#[inline(always)]
pub fn case<'a>() -> Option<&'a mut Case> {
    // SAFETY: a per-CPU value of the map: integers, of which every pattern is a value, and `bool`s that are zero or
    // were written by this program.
    CASE.get_ptr_mut(0).map(|case| unsafe { &mut *case })
}

/// Sets a value to zeroes, in words of 8 bytes: the compiler makes a loop over single bytes of it.
///
/// # Safety
///
/// The value has room for all its bytes, is aligned to 8, and its size is a multiple of 8.
#[inline(always)]
pub unsafe fn clear<T>(value: *mut T) {
    const { assert!(size_of::<T>().is_multiple_of(8) && size_of::<T>() <= 128) };
    let words = value.cast::<u64>();
    macro_rules! clear {
        ($($at:literal)*) => {$(
            if $at < size_of::<T>() / 8 {
                // SAFETY: within the value, the caller's.
                unsafe { words.add($at).write_volatile(0) };
            }
        )*};
    }
    clear!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
}
