//! Time, and the program that tells it to user space.

use aya_ebpf::helpers::bpf_jiffies64;
use aya_ebpf::macros::classifier;
use aya_ebpf::programs::TcContext;
use enid_abi::{TICK_SHIFT, Tick};

/// Answers a test run with the present tick. It is attached nowhere.
#[classifier]
pub fn now(_context: TcContext) -> i32 {
    tick() as i32
}

/// The present tick. The verifier makes one load of it.
#[inline(always)]
pub fn tick() -> Tick {
    // SAFETY: no arguments, no side effects.
    (unsafe { bpf_jiffies64() } >> TICK_SHIFT) as Tick
}
