//! A connection to the socket, and who is at its other end.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tonic::transport::server::Connected;

use super::{Access, Rights};

/// The credentials of a process as they were when it connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) user: u32,
    pub(crate) group: u32,
    /// Supplementary groups.
    pub(crate) groups: Arc<[u32]>,
}

impl Peer {
    /// Asks the kernel who has connected.
    pub(crate) fn of(socket: BorrowedFd<'_>) -> io::Result<Self> {
        let credentials = rustix::net::sockopt::socket_peercred(socket)?;
        let (user, group) = (credentials.uid.as_raw(), credentials.gid.as_raw());
        Ok(Self { user, group, groups: groups_of(socket)?.into() })
    }

    /// Whether the process was of a group.
    pub(crate) fn is_in(&self, group: u32) -> bool {
        self.group == group || self.groups.contains(&group)
    }
}

/// `SO_PEERGROUPS` of socket(7), since Linux 4.13, which neither the standard library nor rustix has.
fn groups_of(socket: BorrowedFd<'_>) -> io::Result<Vec<u32>> {
    let mut groups = vec![0_u32; 32];
    loop {
        let room = groups.len() * size_of::<u32>();
        let mut length = libc::socklen_t::try_from(room).map_err(io::Error::other)?;
        // SAFETY: the kernel writes at most `length` bytes to the vector, which has as many.
        let done = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        let error = io::Error::last_os_error();
        let needed = usize::try_from(length).unwrap_or(0) / size_of::<u32>();
        match done {
            0 => {
                groups.truncate(needed);
                return Ok(groups);
            }
            // It says how much it needs: at most 65,536 groups (NGROUPS_MAX).
            _ if error.raw_os_error() == Some(libc::ERANGE) && needed > groups.len() => {
                groups.resize(needed, 0);
            }
            _ => return Err(error),
        }
    }
}

/// A connection whose requests know who sends them: their extensions have the [`Peer`].
#[derive(Debug)]
pub(crate) struct Visitor {
    stream: UnixStream,
    peer: Peer,
    _stranger: Option<Stranger>,
}

/// How many may be told that they may nothing here, at once: connections cost descriptors, which others need.
const MOST_STRANGERS: usize = 16;

/// Lets people in who come to the door.
#[derive(Debug)]
pub(crate) struct Porter {
    access: Access,
    strangers: Arc<AtomicUsize>,
}

impl Porter {
    pub(crate) fn new(access: Access) -> Self {
        Self { access, strangers: Arc::default() }
    }

    /// Lets somebody in; nobody if it can't be told who it is, or if there are too many strangers.
    pub(crate) fn admit(&self, stream: UnixStream) -> Option<Visitor> {
        let peer = Peer::of(stream.as_fd())
            .inspect_err(|error| tracing::debug!(%error, "somebody left before it could be told who it was"))
            .ok()?;
        let stranger = match self.access.rights(&peer) {
            Rights::None => Some(Stranger::count(&self.strangers)?),
            _ => None,
        };
        Some(Visitor { stream, peer, _stranger: stranger })
    }
}

/// A connection of somebody who may nothing, counted until it is dropped.
#[derive(Debug)]
struct Stranger(Arc<AtomicUsize>);

impl Stranger {
    fn count(strangers: &Arc<AtomicUsize>) -> Option<Self> {
        let one = Self(Arc::clone(strangers));
        (one.0.fetch_add(1, Ordering::Relaxed) < MOST_STRANGERS).then_some(one)
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Connected for Visitor {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Visitor {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Visitor {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_few_and_leave_room_when_they_go() {
        let strangers = Arc::default();
        let mut inside: Vec<Stranger> =
            (0..MOST_STRANGERS).filter_map(|_| Stranger::count(&strangers)).collect();
        assert_eq!(inside.len(), MOST_STRANGERS);
        assert!(Stranger::count(&strangers).is_none());
        inside.pop();
        assert!(Stranger::count(&strangers).is_some());
    }

    #[tokio::test]
    async fn a_peer_is_known() {
        let (near, _far) = UnixStream::pair().unwrap();
        let peer = Peer::of(near.as_fd()).unwrap();
        assert_eq!(peer.user, rustix::process::geteuid().as_raw());
        assert_eq!(peer.group, rustix::process::getegid().as_raw());
        let own: Vec<u32> =
            rustix::process::getgroups().unwrap().iter().map(|group| group.as_raw()).collect();
        assert_eq!(*peer.groups, *own);
    }
}
