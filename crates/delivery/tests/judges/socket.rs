//! Collectors that keep what they are sent as it is, for readers that come later.

use std::net::Ipv4Addr;
use std::time::Duration;

use enid_delivery::{Destination, Sink};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinHandle;

/// Long, for machines under load.
const PATIENCE: Duration = Duration::from_secs(10);

/// A UDP socket that collects messages.
pub(crate) struct Datagrams {
    socket: UdpSocket,
    pub(crate) port: u16,
}

impl Datagrams {
    pub(crate) async fn bind() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = socket.local_addr().unwrap().port();
        Self { socket, port }
    }

    /// What has come: all of it, as loopback delivers before a send returns.
    pub(crate) fn messages(&self) -> Vec<Vec<u8>> {
        let mut buffer = vec![0; 65_536];
        let mut messages = Vec::new();
        while let Ok((length, _)) =
            rustix::net::recv(&self.socket, buffer.as_mut_slice(), rustix::net::RecvFlags::DONTWAIT)
        {
            messages.push(buffer[..length].to_vec());
        }
        messages
    }
}

/// A TCP connection that is read all the time.
pub(crate) struct Stream {
    messages: UnboundedReceiver<Vec<u8>>,
    reader: JoinHandle<()>,
}

impl Stream {
    pub(crate) async fn accept(listener: &TcpListener) -> Self {
        let accepted = tokio::time::timeout(PATIENCE, listener.accept());
        let (mut stream, _) = accepted.await.expect("a connection").unwrap();
        let (sender, messages) = unbounded_channel();
        let reader = tokio::spawn(async move {
            while let Ok(message) = next(&mut stream).await {
                sender.send(message).unwrap();
            }
        });
        Self { messages, reader }
    }

    /// The messages that come until they are enough.
    pub(crate) async fn messages(&mut self, mut is_enough: impl FnMut(&[Vec<u8>]) -> bool) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        while !is_enough(&messages) {
            let next = tokio::time::timeout(PATIENCE, self.messages.recv());
            messages.push(next.await.expect("a message in time").expect("a message"));
        }
        messages
    }

    /// Closes the connection.
    pub(crate) async fn close(self) {
        self.reader.abort();
        // Cancelled, as it was to be, and its socket with it.
        let _ = self.reader.await;
    }
}

/// The next message: its length is in its header.
async fn next(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut message = vec![0; 4];
    stream.read_exact(&mut message).await?;
    let length = usize::from(u16::from_be_bytes([message[2], message[3]]));
    message.resize(length, 0);
    stream.read_exact(&mut message[4..]).await?;
    Ok(message)
}

/// A sink for a collector of this host.
pub(crate) fn sink(scheme: &str, port: u16) -> Sink {
    let destination: Destination = format!("{scheme}://127.0.0.1:{port}").parse().unwrap();
    Sink::to_collector(&destination).unwrap().unwrap()
}
