//! A TCP connection of which both ends are here.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::net::sockopt::{
    Timeout, set_socket_recv_buffer_size_force, set_socket_send_buffer_size, set_socket_timeout,
    set_tcp_congestion,
};

use super::{PATIENCE, PORT, Pair, inside};

/// The congestion control of every measured connection. Without loss it never holds back, where one that paces (BBR)
/// would measure its own estimate of the way.
const CONGESTION_CONTROL: &str = "cubic";

/// What a sender and a receiver hold at most, in bytes. Left to itself the kernel would let both grow beyond the processor's
/// cache or not, as chance has it, which makes more of a difference than what is measured.
const BUFFER: usize = 512 * 1024;

/// Both ends of an open connection.
pub(crate) struct Connection {
    pub(crate) client: TcpStream,
    pub(crate) server: TcpStream,
}

impl Connection {
    /// Connects the pair's client with its server.
    pub(crate) fn open(pair: &Pair) -> Result<Self> {
        let address = SocketAddr::new(pair.server.address, PORT);
        let listener = inside(&pair.server.namespace, || listen(address))?;
        let client = inside(&pair.client.namespace, || Ok(TcpStream::connect_timeout(&address, PATIENCE)?))
            .with_context(|| format!("connect to {address}"))?;
        let (server, _) = listener.accept()?;
        for end in [&client, &server] {
            set_socket_recv_buffer_size_force(end, BUFFER)?;
            set_socket_send_buffer_size(end, BUFFER)?;
            set_tcp_congestion(end, CONGESTION_CONTROL)?;
            end.set_nodelay(true)?;
            wait_at_most(end, PATIENCE)?;
        }
        Ok(Self { client, server })
    }
}

/// Listens; an accept gives up when nobody has come for long.
pub(super) fn listen(address: SocketAddr) -> Result<TcpListener> {
    let listener = TcpListener::bind(address).with_context(|| format!("listen on {address}"))?;
    // Of accept(2) too: socket(7).
    set_socket_timeout(&listener, Timeout::Recv, Some(PATIENCE))?;
    Ok(listener)
}

pub(super) fn wait_at_most(end: &TcpStream, time: Duration) -> Result<()> {
    end.set_read_timeout(Some(time))?;
    end.set_write_timeout(Some(time))?;
    Ok(())
}
