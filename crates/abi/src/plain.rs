//! Types that are nothing but their bytes.

/// Data that may be copied to and from a map byte by byte.
///
/// # Safety
///
/// The type is `#[repr(C)]` or a primitive, has no padding bytes, and every pattern of bits is a value of it.
pub unsafe trait Plain: Copy + Default + 'static {}

// SAFETY: a primitive integer.
unsafe impl Plain for u32 {}
// SAFETY: a primitive integer.
unsafe impl Plain for u64 {}
// SAFETY: two primitive integers.
unsafe impl Plain for [u64; 2] {}
