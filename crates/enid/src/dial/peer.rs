//! Who may dial: root, and members of the socket's group. The socket's mode says so too; this holds whatever became of it.

use std::io;
use std::os::fd::BorrowedFd;

use crate::door::Peer;

/// Whether the process at the other end of a Unix socket is root's or has the group.
pub(super) fn may_dial(socket: BorrowedFd<'_>, group: Option<u32>) -> io::Result<bool> {
    let peer = Peer::of(socket)?;
    Ok(peer.user == 0 || group.is_some_and(|group| peer.is_in(group)))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;
    use std::os::unix::net::UnixDatagram;

    use super::*;

    #[test]
    fn root_may_dial() {
        let (one, _other) = UnixDatagram::pair().unwrap();
        assert!(may_dial(one.as_fd(), None).unwrap(), "tests of the daemon run as root");
    }
}
