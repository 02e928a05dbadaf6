//! UDP datagrams: as many as get through.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use anyhow::{Context as _, Result};
use rustix::net::sockopt::set_socket_recv_buffer_size_force;

use super::{CLIENT_CPU, PORT, Pair, SERVER_CPU, Window, inside, joined, placed};

/// Bytes of a datagram.
const SIZE: usize = 64;
/// Room for those that a receiver has not read yet, in bytes: a pause of it is no loss.
const BUFFER: usize = 8 << 20;
/// Datagrams a second.
#[derive(Clone, Copy)]
pub(crate) struct DatagramResult {
    pub(crate) sent: f64,
    pub(crate) received: f64,
}

/// Sends datagrams of 64 bytes, a call each, and counts what the other side's socket gets.
///
/// The receiver asks again and again rather than sleep: else waking it is a third of the cost of a datagram on a virtual
/// machine, or nothing, depending on how far behind it is.
pub(crate) fn datagrams(pair: &Pair, window: Window) -> Result<DatagramResult> {
    let to = SocketAddr::new(pair.server.address, PORT);
    let receiving = inside(&pair.server.namespace, || Ok(UdpSocket::bind(to)?))?;
    set_socket_recv_buffer_size_force(&receiving, BUFFER)?;
    receiving.set_nonblocking(true)?;
    let sending = inside(&pair.client.namespace, || {
        let socket = UdpSocket::bind(SocketAddr::new(pair.client.address, 0))?;
        socket.connect(to)?;
        Ok(socket)
    })?;
    let over = AtomicBool::new(false);
    let (sent, received) = (AtomicU64::new(0), AtomicU64::new(0));
    let (before, after, time) = thread::scope(|scope| {
        let client = placed(scope, &pair.client.namespace, CLIENT_CPU, || {
            let mut count = 0;
            while !over.load(Ordering::Relaxed) {
                sending.send(&[0; SIZE]).context("send a datagram")?;
                count += 1;
                sent.store(count, Ordering::Relaxed);
            }
            Ok(())
        });
        let server = placed(scope, &pair.server.namespace, SERVER_CPU, || {
            let mut count = 0;
            let mut buffer = [0; SIZE];
            loop {
                match receiving.recv(&mut buffer) {
                    Ok(_) => count += 1,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        if over.load(Ordering::Relaxed) {
                            return Ok(());
                        }
                    }
                    Err(error) => return Err(error).context("receive a datagram"),
                }
                received.store(count, Ordering::Relaxed);
            }
        });
        let observed = window.observe(|| (sent.load(Ordering::Relaxed), received.load(Ordering::Relaxed)));
        over.store(true, Ordering::Relaxed);
        joined(client)?;
        joined(server)?;
        anyhow::Ok(observed)
    })?;
    #[allow(clippy::cast_precision_loss, reason = "some million")]
    let rate = |count: u64| count as f64 / time.as_secs_f64();
    Ok(DatagramResult { sent: rate(after.0 - before.0), received: rate(after.1 - before.1) })
}
