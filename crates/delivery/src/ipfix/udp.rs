//! IPFIX messages as datagrams (RFC 7011, 10.3).

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::UdpSocket;

use crate::destination::Endpoint;
use crate::error::DeliveryError;
use crate::net::{in_time, resolve};

/// What fits a packet of 1,280 octets, IPv6's smallest MTU, so that no datagram is cut into fragments.
pub(super) const MESSAGE_LIMIT: usize = 1280 - 40 - 8;

/// Datagrams sent at once, and the pause after them: a collector's socket holds about a hundred unless it is told to
/// hold more, and what it does not hold is gone.
const BURST: u32 = 32;
const PAUSE: Duration = Duration::from_millis(1);

/// How long to wait for the word that nobody listens.
const REFUSAL: Duration = Duration::from_millis(20);

/// One socket for as long as the collector's address stays the same, as it is the transport session's name.
#[derive(Debug)]
pub(super) struct Udp {
    destination: String,
    endpoint: Endpoint,
    socket: Option<(SocketAddr, UdpSocket)>,
    /// Whether the address at hand has refused.
    is_doubtful: bool,
    burst: u32,
}

impl Udp {
    pub(super) const fn new(destination: String, endpoint: Endpoint) -> Self {
        Self { destination, endpoint, socket: None, is_doubtful: false, burst: 0 }
    }

    /// Has a socket to the collector: the next of its addresses where the last has refused.
    pub(super) async fn open(&mut self) -> Result<(), DeliveryError> {
        if self.socket.is_some() && !self.is_doubtful {
            return Ok(());
        }
        let addresses = resolve(&self.destination, &self.endpoint).await?;
        let current = self.socket.as_ref().map(|(address, _)| *address);
        let after =
            |at: SocketAddr| addresses.iter().position(|address| *address == at).map_or(0, |at| at + 1);
        let next = addresses.iter().cycle().nth(current.map_or(0, after)).copied();
        self.is_doubtful = false;
        if let Some(next) = next.filter(|next| Some(*next) != current) {
            let socket = connected(next).await;
            let socket = socket
                .map_err(|source| DeliveryError::Connect { destination: self.destination.clone(), source })?;
            self.socket = Some((next, socket));
        }
        Ok(())
    }

    /// Sends a datagram.
    pub(super) async fn send(&mut self, message: &[u8]) -> Result<(), DeliveryError> {
        let Some((_, socket)) = &self.socket else { return Ok(()) };
        let sent = in_time(&self.destination, "to send", socket.send(message)).await?;
        if let Err(source) = sent {
            return Err(self.refused(source));
        }
        self.burst += 1;
        if self.burst >= BURST {
            self.burst = 0;
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Waits a moment for a refusal: ICMP says that nobody listens, though never that somebody does.
    pub(super) async fn settle(&mut self) -> Result<(), DeliveryError> {
        let Some((_, socket)) = &self.socket else { return Ok(()) };
        // Without an error there is nothing to wait for, and the time is over.
        let _ = tokio::time::timeout(REFUSAL, socket.ready(Interest::ERROR)).await;
        match socket.take_error() {
            Ok(None) => Ok(()),
            Ok(Some(source)) | Err(source) => Err(self.refused(source)),
        }
    }

    fn refused(&mut self, source: std::io::Error) -> DeliveryError {
        self.is_doubtful = true;
        DeliveryError::Send { destination: self.destination.clone(), source }
    }
}

/// Whether the collector's name resolves and there is a way to its address. Nothing is sent.
pub(crate) async fn probe(destination: &str, endpoint: &Endpoint) -> Result<(), DeliveryError> {
    let mut udp = Udp::new(destination.to_owned(), endpoint.clone());
    udp.open().await
}

async fn connected(address: SocketAddr) -> std::io::Result<UdpSocket> {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(address).await?;
    Ok(socket)
}
