//! The other end: takes connections, and keeps the last for whoever wants it.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::traffic::{End, PORT, inside};

/// A listener, and the connections that it got.
pub(crate) struct Server {
    address: SocketAddr,
    accepted: Receiver<TcpStream>,
}

impl Server {
    /// Begins to listen.
    pub(crate) fn start(end: &End) -> Result<Self> {
        let address = SocketAddr::new(end.address, PORT);
        let listener = inside(&end.namespace, || Ok(TcpListener::bind(address)?))?;
        let (give, accepted) = channel();
        // It ends with the process.
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if give.send(stream).is_err() {
                    return;
                }
            }
        });
        Ok(Self { address, accepted })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The newest connection; the others are closed.
    pub(crate) fn accepted(&self) -> Result<TcpStream> {
        let mut newest = self.accepted.recv_timeout(Duration::from_secs(5)).context("nobody connects")?;
        while let Ok(newer) = self.accepted.recv_timeout(Duration::from_millis(20)) {
            newest = newer;
        }
        Ok(newest)
    }
}
