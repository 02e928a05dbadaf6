//! Atomic operations on map values, which `core::sync::atomic` does not offer for BPF.

use core::intrinsics::{AtomicOrdering, atomic_cxchg, atomic_or, atomic_xadd};

/// Adds to a counter that several CPUs share.
///
/// # Safety
///
/// The counter is in a map value that the verifier knows.
#[inline(always)]
pub unsafe fn add(counter: *mut u64, amount: u64) {
    // SAFETY: the caller's. Counters order nothing else, hence relaxed, which is the instruction that returns nothing.
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(counter, amount) };
}

/// Sets bits in a word that several CPUs share.
///
/// # Safety
///
/// As for [`add`].
#[inline(always)]
pub unsafe fn set_bits(word: *mut u64, bits: u64) {
    // SAFETY: the caller's.
    unsafe { atomic_or::<u64, u64, { AtomicOrdering::Relaxed }>(word, bits) };
}

/// Replaces a word if it still is what the caller saw; says whether it did.
///
/// # Safety
///
/// As for [`add`].
#[inline(always)]
pub unsafe fn replace(word: *mut u64, seen: u64, new: u64) -> bool {
    // SAFETY: the caller's. The BPF instruction is fully ordered, whatever is asked for.
    unsafe { atomic_cxchg::<u64, { AtomicOrdering::SeqCst }, { AtomicOrdering::SeqCst }>(word, seen, new).1 }
}
