//! Running a program on a crafted frame (`BPF_PROG_TEST_RUN`).

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use enid_datapath::Datapath;
use enid_model::EniNumber;

/// What a program answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// `TC_ACT_OK`.
    Pass,
    /// `TC_ACT_SHOT`.
    Drop,
}

/// What a buffer is apart from its bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Gso {
    /// Payload bytes of a segment.
    pub(crate) size: u32,
    /// Segments, or 0 for not known.
    pub(crate) segments: u32,
}

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
    flags: u32,
    cpu: u32,
    batch_size: u32,
    reserved: u32,
}

/// Runs a program `repeat` times on a frame that came by an ENI.
pub(crate) fn repeat(program: BorrowedFd<'_>, number: u32, frame: &[u8], gso: Gso, repeat: u32) -> Verdict {
    const TEST_RUN: libc::c_int = 10;
    // struct __sk_buff, by its offsets in the kernel's ABI: 40 ifindex, 164 gso_segs, 176 gso_size.
    let mut context = [0_u8; 192];
    context[40..44].copy_from_slice(&number.to_ne_bytes());
    context[164..168].copy_from_slice(&gso.segments.to_ne_bytes());
    context[176..180].copy_from_slice(&gso.size.to_ne_bytes());
    let mut attribute = TestRun {
        program: program.as_raw_fd().unsigned_abs(),
        data_size: u32::try_from(frame.len()).unwrap(),
        data: frame.as_ptr() as u64,
        repeat,
        context_size: 192,
        context: context.as_ptr() as u64,
        ..TestRun::default()
    };
    // The kernel interrupts long runs for signals, the test harness sends none.
    // SAFETY: the attribute is that of the command; its pointers are to a frame and a context of the sizes stated.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            TEST_RUN,
            &raw mut attribute,
            u32::try_from(size_of::<TestRun>()).unwrap(),
        )
    };
    assert_eq!(result, 0, "test run: {}", io::Error::last_os_error());
    match attribute.answer {
        0 => Verdict::Pass,
        2 => Verdict::Drop,
        other => panic!("a verdict of {other}"),
    }
}

/// Sends a frame from an ENI.
pub(crate) fn send(datapath: &Datapath, number: EniNumber, frame: &[u8]) -> Verdict {
    repeat(datapath.from_eni(), number.get(), frame, Gso::default(), 1)
}

/// Delivers a frame to an ENI.
pub(crate) fn deliver(datapath: &Datapath, number: EniNumber, frame: &[u8]) -> Verdict {
    repeat(datapath.to_eni(), number.get(), frame, Gso::default(), 1)
}
