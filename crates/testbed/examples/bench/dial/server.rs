//! The other end: takes connections, and keeps the last for whoever wants it.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::traffic::{End, PORT, inside};

/// A listener, and a connection that somebody asked for.
pub(crate) struct Server {
    address: SocketAddr,
    accepted: Receiver<TcpStream>,
}

impl Server {
    /// Begins to listen.
    pub(crate) fn start(end: &End) -> Result<Self> {
        let address = SocketAddr::new(end.address, PORT);
        let listener = inside(&end.namespace, || Ok(TcpListener::bind(address)?))?;
        let (give, accepted) = sync_channel(0);
        // It ends with the process.
        thread::spawn(move || accept(&listener, &give));
        Ok(Self { address, accepted })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The newest connection.
    pub(crate) fn accepted(&self) -> Result<TcpStream> {
        self.accepted.recv_timeout(Duration::from_secs(5)).context("nobody connects")
    }
}

/// Accepts connections, and closes each when the next one comes, unless somebody has asked for it.
fn accept(listener: &TcpListener, give: &SyncSender<TcpStream>) {
    // How long the newest may be asked for: longer than until the one that is waited for is here.
    const WINDOW: Duration = Duration::from_millis(50);
    while let Ok((stream, _)) = listener.accept() {
        let mut newest = stream;
        let asked = std::time::Instant::now();
        // In small steps: the next connection must not wait.
        if listener.set_nonblocking(true).is_err() {
            return;
        }
        while asked.elapsed() < WINDOW {
            newest = match give.try_send(newest) {
                Ok(()) => break,
                Err(TrySendError::Full(newest)) => newest,
                Err(TrySendError::Disconnected(_)) => return,
            };
            match listener.accept() {
                Ok((newer, _)) => newest = newer,
                Err(_) => thread::sleep(Duration::from_micros(500)),
            }
        }
        if listener.set_nonblocking(false).is_err() {
            return;
        }
    }
}
