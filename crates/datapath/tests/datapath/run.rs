//! Running a program on a crafted frame (`BPF_PROG_TEST_RUN`).

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

/// What a program answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// `TC_ACT_OK`: by the kernel's way.
    Pass,
    /// `TC_ACT_SHOT`.
    Drop,
    /// `TC_ACT_REDIRECT`: straight into another ENI.
    Deliver,
}

/// What a buffer is apart from its bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Gso {
    /// Payload bytes of a segment.
    pub(crate) size: u32,
    /// Segments, or 0 for not known.
    pub(crate) segments: u32,
}

/// A frame, and where it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival<'a> {
    /// The frame.
    pub(crate) frame: &'a [u8],
    /// What the buffer is apart from its bytes.
    pub(crate) gso: Gso,
    /// The number of the ENI on whose host end it is.
    pub(crate) eni: u32,
    /// The interface that it was received by before; 0 if it was made here.
    pub(crate) received_by: u32,
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

/// Runs a program `times` times on a frame.
pub(crate) fn repeat(program: BorrowedFd<'_>, arrival: Arrival<'_>, times: u32) -> Verdict {
    const TEST_RUN: libc::c_int = 10;
    let Arrival { frame, gso, eni, received_by } = arrival;
    // struct __sk_buff, by its offsets in the kernel's ABI.
    let mut context = [0_u8; 192];
    for (at, word) in [(36, received_by), (40, eni), (164, gso.segments), (176, gso.size)] {
        context[at..at + 4].copy_from_slice(&word.to_ne_bytes());
    }
    let mut attribute = TestRun {
        program: program.as_raw_fd().unsigned_abs(),
        data_size: u32::try_from(frame.len()).unwrap(),
        data: frame.as_ptr() as u64,
        repeat: times,
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
        7 => Verdict::Deliver,
        other => panic!("a verdict of {other}"),
    }
}
