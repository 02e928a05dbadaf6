//! Who may dial: root, and members of the socket's group. The socket's mode says so too; this holds whatever became of it.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};

/// Whether the process at the other end of a Unix socket is root's or has the group.
pub(super) fn may_dial(socket: BorrowedFd<'_>, group: Option<u32>) -> io::Result<bool> {
    let peer = rustix::net::sockopt::socket_peercred(socket.as_fd())?;
    if peer.uid.is_root() {
        return Ok(true);
    }
    let Some(group) = group else { return Ok(false) };
    Ok(peer.gid.as_raw() == group || groups(socket)?.contains(&group))
}

/// The supplementary groups of the process when it connected (`SO_PEERGROUPS`, Linux 4.13).
fn groups(socket: BorrowedFd<'_>) -> io::Result<Vec<u32>> {
    /// `NGROUPS_MAX`.
    const MOST: usize = 65_536;
    let mut groups = vec![0_u32; 64];
    loop {
        let mut length =
            libc::socklen_t::try_from(size_of_val(groups.as_slice())).map_err(io::Error::other)?;
        // SAFETY: the kernel writes at most `length` bytes of group numbers, for which there is room, and the length.
        let got = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        if got == 0 {
            groups.truncate(length as usize / size_of::<u32>());
            return Ok(groups);
        }
        let error = io::Error::last_os_error();
        // Too little room: the kernel has written how much it takes.
        if error.raw_os_error() != Some(libc::ERANGE) || groups.len() >= MOST {
            return Err(error);
        }
        groups.resize((length as usize / size_of::<u32>()).clamp(groups.len() + 1, MOST), 0);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;

    #[test]
    fn root_may_dial() {
        let (one, _other) = UnixDatagram::pair().unwrap();
        assert!(may_dial(one.as_fd(), None).unwrap(), "tests of the daemon run as root");
        assert!(groups(one.as_fd()).is_ok());
    }
}
