//! The `bpf` system call (Linux 5.6 for the batches), in the forms that the maps need and aya does not have.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

pub(crate) const MAP_CREATE: libc::c_int = 0;
pub(crate) const MAP_LOOKUP: libc::c_int = 1;
pub(crate) const MAP_UPDATE: libc::c_int = 2;
pub(crate) const MAP_DELETE: libc::c_int = 3;
const PROG_TEST_RUN: libc::c_int = 10;
/// Of hash maps, Linux 5.14.
pub(crate) const MAP_LOOKUP_AND_DELETE: libc::c_int = 21;
pub(crate) const MAP_LOOKUP_BATCH: libc::c_int = 24;
pub(crate) const MAP_DELETE_BATCH: libc::c_int = 27;

/// `BPF_ANY`: insert or replace.
pub(crate) const ANY: u64 = 0;

/// The part of `union bpf_attr` for `BPF_MAP_*_ELEM`.
#[repr(C)]
pub(crate) struct Element {
    map: u32,
    reserved: u32,
    key: u64,
    value: u64,
    flags: u64,
}

impl Element {
    pub(crate) fn new(map: BorrowedFd<'_>, key: *const u8, value: *const u8, flags: u64) -> Self {
        Self { map: number(map), reserved: 0, key: key as u64, value: value as u64, flags }
    }
}

/// The part of `union bpf_attr` for `BPF_MAP_*_BATCH`.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) keys: u64,
    pub(crate) values: u64,
    pub(crate) count: u32,
    map: u32,
    element_flags: u64,
    flags: u64,
}

impl Batch {
    pub(crate) fn new(map: BorrowedFd<'_>) -> Self {
        Self { from: 0, to: 0, keys: 0, values: 0, count: 0, map: number(map), element_flags: 0, flags: 0 }
    }
}

/// The part of `union bpf_attr` for `BPF_MAP_CREATE`.
#[repr(C)]
pub(crate) struct Create {
    pub(crate) map_type: u32,
    pub(crate) key_size: u32,
    pub(crate) value_size: u32,
    pub(crate) max_entries: u32,
    pub(crate) flags: u32,
    pub(crate) inner_map: u32,
}

/// The part of `union bpf_attr` for `BPF_PROG_TEST_RUN`.
#[repr(C)]
#[derive(Default)]
struct TestRun {
    program: u32,
    answer: u32,
    data_size: u32,
    data_size_out: u32,
    data: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    context_size: u32,
    context_size_out: u32,
    context: u64,
    context_out: u64,
}

/// Calls the kernel.
///
/// # Safety
///
/// The attribute is the one that the command takes, and its pointers are valid for what the command does with them.
pub(crate) unsafe fn bpf<T>(command: libc::c_int, attribute: &mut T) -> io::Result<libc::c_long> {
    let size = u32::try_from(size_of::<T>()).unwrap_or(u32::MAX);
    // SAFETY: the caller's; the size is the attribute's.
    match unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attribute), size) } {
        -1 => Err(io::Error::last_os_error()),
        result => Ok(result),
    }
}

/// Creates a map without a name.
pub(crate) fn create_map(mut attribute: Create) -> io::Result<OwnedFd> {
    // SAFETY: the attribute is that of the command and has no pointers.
    let fd = unsafe { bpf(MAP_CREATE, &mut attribute) }?;
    let fd = RawFd::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made it, so nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Runs a tc program once, on a frame of zeroes, and returns its answer.
pub(crate) fn test_run(program: BorrowedFd<'_>) -> io::Result<u32> {
    let frame = [0_u8; 64];
    let mut attribute = TestRun {
        program: number(program),
        data_size: 64,
        data: frame.as_ptr() as u64,
        ..TestRun::default()
    };
    // SAFETY: the attribute is that of the command; the kernel reads a frame of the size stated.
    unsafe { bpf(PROG_TEST_RUN, &mut attribute) }?;
    Ok(attribute.answer)
}

/// A file descriptor as attributes have it.
pub(crate) fn number(fd: BorrowedFd<'_>) -> u32 {
    // A borrowed descriptor is open, so not negative.
    fd.as_raw_fd().unsigned_abs()
}
