//! What sockets of packet(7) have in common.

#![allow(
    clippy::expect_used,
    reason = "a step that fails panics, since a test wants to know where it failed"
)]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

/// Of packet(7), as the address has it.
#[expect(clippy::cast_possible_truncation, reason = "17")]
const AF_PACKET: u16 = libc::AF_PACKET as u16;

/// Every protocol, in the network's order.
#[expect(clippy::cast_possible_truncation, reason = "3")]
pub(crate) const ALL_PROTOCOLS: u16 = (libc::ETH_P_ALL as u16).to_be();

/// A socket in the calling thread's namespace. Its protocol is 0: it sees nothing before it is bound.
pub(crate) fn open() -> OwnedFd {
    // SAFETY: a system call without pointers.
    let socket = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    // SAFETY: it is new, and nobody else's.
    unsafe { OwnedFd::from_raw_fd(checked("socket", socket)) }
}

/// Sets an option, whose value is of the type that the option takes.
pub(crate) fn set<T>(socket: &OwnedFd, option: libc::c_int, value: &T) {
    // SAFETY: the value is read as far as it goes, and lives until the call returns.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            option,
            std::ptr::from_ref(value).cast(),
            length_of(value),
        )
    };
    checked("setsockopt", set);
}

/// The address of an interface in the calling thread's namespace; the protocol is in the network's order.
pub(crate) fn address(interface: &str, protocol: u16) -> libc::sockaddr_ll {
    let name = CString::new(interface).expect("no zero byte");
    // SAFETY: the name ends with a zero byte and lives until the call returns.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    assert_ne!(index, 0, "{interface}: {}", io::Error::last_os_error());
    // SAFETY: all zeroes is a valid address.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = AF_PACKET;
    address.sll_protocol = protocol;
    address.sll_ifindex = index.cast_signed();
    address
}

/// How long a value is, as system calls are told.
pub(crate) fn length_of<T>(value: &T) -> libc::socklen_t {
    libc::socklen_t::try_from(size_of_val(value)).expect("a small size")
}

/// What a system call has returned, which must be no error.
#[track_caller]
pub(crate) fn checked(call: &str, result: libc::c_int) -> libc::c_int {
    assert!(result >= 0, "{call}: {}", io::Error::last_os_error());
    result
}
