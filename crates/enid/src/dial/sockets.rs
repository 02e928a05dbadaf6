//! Where sockets are made.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use enid_api::dial::wire::{Family, Protocol};
use tokio::net::{TcpSocket, TcpStream};

use super::maker::{TaskSockets, socket};

/// Where sockets are made, and with which tag.
#[derive(Debug, Clone)]
pub(super) enum Sockets {
    /// In a task's namespace, tagged with a class.
    Task(TaskSockets),
    /// In the host's namespace, which is the daemon's.
    Host,
}

impl Sockets {
    /// Makes sockets that do not block.
    pub(super) async fn make(
        &self,
        family: Family,
        protocol: Protocol,
        count: u8,
    ) -> io::Result<Vec<OwnedFd>> {
        match self {
            Self::Task(sockets) => sockets.make(family, protocol, count).await,
            // The runtime's threads are where the daemon was started.
            Self::Host => (0..count).map(|_| socket(family, protocol)).collect(),
        }
    }

    pub(super) async fn make_one(&self, family: Family, protocol: Protocol) -> io::Result<OwnedFd> {
        self.make(family, protocol, 1).await?.pop().ok_or_else(|| io::Error::other("no socket was made"))
    }

    /// Connects by TCP.
    pub(super) async fn connect(&self, to: SocketAddr) -> io::Result<TcpStream> {
        let socket = self.make_one(super::family(to.ip()), Protocol::Tcp).await?;
        TcpSocket::from_std_stream(socket.into()).connect(to).await
    }
}
