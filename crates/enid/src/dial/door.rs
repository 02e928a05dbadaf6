//! The dial socket.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use enid_api::dial::Channel;
use enid_api::dial::wire::ErrorCode;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::JoinSet;

use super::{Dialing, conversation, refuse};
use crate::EnidError;
use crate::door::{Access, Peer, Rights};

/// The most callers at a time. One that says nothing costs a descriptor.
const MOST_CALLERS: usize = 1024;
/// How long to wait where the process or the host has no descriptor left.
const PAUSE: Duration = Duration::from_millis(100);

/// The dial socket, listening.
#[derive(Debug)]
pub(crate) struct DialSocket {
    listener: OwnedFd,
    access: Access,
}

impl DialSocket {
    /// Listens at `path`, for those who may change things. A socket that is there already is of a daemon that has gone.
    pub(crate) fn listen(path: &Path, access: Access) -> Result<Self, EnidError> {
        let failed = || EnidError::file("listen on", path);
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(EnidError::file("remove the stale socket", path)(error));
            }
            _ => {}
        }
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let listener = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
            .map_err(|error| failed()(error.into()))?;
        let address = SocketAddrUnix::new(path).map_err(|error| failed()(error.into()))?;
        rustix::net::bind(&listener, &address).map_err(|error| failed()(error.into()))?;
        let group = access.changer_group();
        std::os::unix::fs::chown(path, None, group).map_err(EnidError::file("change the group of", path))?;
        let mode = std::fs::Permissions::from_mode(0o660);
        std::fs::set_permissions(path, mode).map_err(EnidError::file("change the mode of", path))?;
        // Last: until now nobody could connect.
        rustix::net::listen(&listener, 256).map_err(|error| failed()(error.into()))?;
        Ok(Self { listener, access })
    }

    /// Serves callers until it is dropped, and their conversations with it.
    pub(crate) async fn serve(self, dialing: Arc<Dialing>) {
        // SAFETY: the descriptor is owned, so it stays open, and that of one file, until it is dropped.
        let listener = match unsafe { AsyncFd::register_with_interest(self.listener, Interest::READABLE) } {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!(%error, "the dial socket can't be served");
                return;
            }
        };
        let callers = Arc::new(AtomicUsize::new(0));
        let mut conversations = JoinSet::new();
        loop {
            while conversations.try_join_next().is_some() {}
            let accept = |listener: &OwnedFd| {
                Ok(rustix::net::accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?)
            };
            let caller = match listener.async_io(Interest::READABLE, accept).await.and_then(Channel::new) {
                Ok(caller) => caller,
                Err(error) => {
                    tracing::warn!(%error, "a caller of the dial socket could not be let in");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            let place = Place::take(&callers);
            // The socket's mode says so too; this holds whatever became of it.
            let rights = Peer::of(caller.as_fd()).map(|peer| self.access.rights(&peer));
            let refusal = match rights {
                Ok(Rights::Change) if place.is_some() => None,
                Ok(Rights::Change) => {
                    Some(refuse(ErrorCode::TooMany, "too many callers hold the dial socket open"))
                }
                Ok(_) => Some(refuse(
                    ErrorCode::NotPermitted,
                    "only root and members of the socket's group may dial",
                )),
                Err(error) => {
                    Some(refuse(ErrorCode::NotPermitted, format!("it can't be told who dials: {error}")))
                }
            };
            let dialing = Arc::clone(&dialing);
            conversations.spawn(async move {
                let _place = place;
                match refusal {
                    None => conversation::hold(&dialing, &caller).await,
                    Some(refusal) => conversation::turn_away(&caller, refusal).await,
                }
            });
        }
    }
}

/// A caller's place, given up when dropped.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(callers: &Arc<AtomicUsize>) -> Option<Self> {
        if callers.fetch_add(1, Ordering::Relaxed) >= MOST_CALLERS {
            callers.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Self(Arc::clone(callers)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
