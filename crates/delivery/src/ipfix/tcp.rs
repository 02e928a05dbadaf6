//! IPFIX messages in a connection (RFC 7011, 10.4).

use std::io;
use std::time::Duration;

use rustix::ioctl::{Getter, Opcode, ioctl};
use rustix::net::{RecvFlags, recv};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::destination::Endpoint;
use crate::error::DeliveryError;
use crate::net::{connect, in_time};

/// Large enough that a message's header costs nothing, small enough that none takes long.
pub(super) const MESSAGE_LIMIT: usize = 32_768;

/// How often to look whether the collector has acknowledged everything, at first; each look waits twice as long, up to a
/// limit.
const FIRST_LOOK: Duration = Duration::from_micros(200);
const LONGEST_LOOK: Duration = Duration::from_millis(50);

/// As the kernel has it for x86-64 and arm64 (asm-generic/ioctls.h, where it is TIOCOUTQ).
const SIOCOUTQ: Opcode = 0x5411;

/// A connection that is made when it is needed, and made again when it breaks.
#[derive(Debug)]
pub(super) struct Tcp {
    destination: String,
    endpoint: Endpoint,
    stream: Option<TcpStream>,
}

impl Tcp {
    pub(super) const fn new(destination: String, endpoint: Endpoint) -> Self {
        Self { destination, endpoint, stream: None }
    }

    /// Has a connection, and says whether it is a new one.
    pub(super) async fn open(&mut self) -> Result<bool, DeliveryError> {
        // Writing into a connection that the collector has closed succeeds once, so it is asked before.
        if self.stream.as_ref().is_some_and(|stream| !is_closed(stream)) {
            return Ok(false);
        }
        self.stream = None;
        self.stream = Some(connect(&self.destination, &self.endpoint).await?);
        Ok(true)
    }

    /// Sends a message. An error ends the connection, as it may have ended within a message.
    pub(super) async fn send(&mut self, message: &[u8]) -> Result<(), DeliveryError> {
        let Some(mut stream) = self.stream.take() else { return Err(self.closed()) };
        let sent = in_time(&self.destination, "to send", stream.write_all(message)).await?;
        sent.map_err(|source| DeliveryError::Send { destination: self.destination.clone(), source })?;
        self.stream = Some(stream);
        Ok(())
    }

    /// Waits until the collector's kernel has acknowledged everything, and the collector has not closed the connection
    /// meanwhile: IPFIX knows no more.
    pub(super) async fn settle(&mut self) -> Result<(), DeliveryError> {
        let Some(stream) = self.stream.take() else { return Err(self.closed()) };
        let acknowledged = in_time(&self.destination, "to acknowledge", acknowledged(&stream)).await?;
        acknowledged
            .map_err(|source| DeliveryError::Send { destination: self.destination.clone(), source })?;
        if is_closed(&stream) {
            return Err(self.closed());
        }
        self.stream = Some(stream);
        Ok(())
    }

    fn closed(&self) -> DeliveryError {
        DeliveryError::Closed { destination: self.destination.clone() }
    }
}

/// Whether the collector has closed its side, or the connection is broken. What a collector says is of no interest.
fn is_closed(stream: &TcpStream) -> bool {
    let mut scrap = [0; 512];
    // One that talks without end is not closed, either.
    for _ in 0..1000 {
        match recv(stream, &mut scrap, RecvFlags::DONTWAIT) {
            Ok((_, 0)) => return true,
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return error != rustix::io::Errno::AGAIN,
        }
    }
    false
}

async fn acknowledged(stream: &TcpStream) -> io::Result<()> {
    let mut wait = FIRST_LOOK;
    while unacknowledged(stream)? > 0 {
        if let Some(error) = stream.take_error()? {
            return Err(error);
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LONGEST_LOOK);
    }
    Ok(())
}

/// How many octets are on their way: not sent, or sent and not acknowledged (SIOCOUTQ, tcp(7)).
fn unacknowledged(stream: &TcpStream) -> io::Result<i32> {
    // SAFETY: on a TCP socket, SIOCOUTQ writes one int, and does nothing else.
    let octets = unsafe { ioctl(stream, Getter::<SIOCOUTQ, i32>::new()) };
    Ok(octets?)
}
