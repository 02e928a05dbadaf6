//! Probes: datagrams that one task sends another at a steady pace, of which it is known when they were sent and whether
//! they arrived.

use std::io::ErrorKind;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::net::sockopt::set_socket_recv_buffer_size_force;

use crate::traffic::{
    CLIENT_CPU, Pair, RawSocket, SERVER_CPU, Tuple, datagram, inside, ipv4, joined, placed,
};

/// Between one probe and the next of its kind.
pub(crate) const PERIOD: Duration = Duration::from_micros(200);
/// The source port of the flow that goes on; those of new flows are above.
const SAME: u16 = 1023;
/// Room for what a receiver has not read yet, in bytes: none is lost for want of it.
const BUFFER: usize = 8 << 20;
/// All that will arrive has arrived when nothing has for so long.
const SILENCE: Duration = Duration::from_millis(50);

/// A datagram.
#[derive(Clone, Copy)]
pub(crate) struct Probe {
    pub(crate) sent: Instant,
    pub(crate) arrived: bool,
}

/// Sends probes from the client to the server.
pub(crate) struct Prober<'a> {
    pair: &'a Pair,
    socket: RawSocket,
    /// The last destination port, and the last source port with it.
    port: u16,
    source: u16,
}

impl<'a> Prober<'a> {
    pub(crate) fn new(pair: &'a Pair) -> Result<Self> {
        Ok(Self { pair, socket: inside(&pair.client.namespace, RawSocket::open)?, port: 0, source: SAME })
    }

    /// Sends probes to `port` while `work` is done: of new flows, each from another port, and of one flow. Returns those
    /// of each kind, in order.
    pub(crate) fn during<T>(
        &mut self,
        port: u16,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<(T, [Vec<Probe>; 2])> {
        if self.port != port {
            (self.port, self.source) = (port, SAME);
        }
        let (pair, socket) = (self.pair, &self.socket);
        let (from, to) = (ipv4(&pair.client)?, ipv4(&pair.server)?);
        let receiving = inside(&pair.server.namespace, || Ok(UdpSocket::bind((to, port))?))?;
        set_socket_recv_buffer_size_force(&receiving, BUFFER)?;
        receiving.set_read_timeout(Some(SILENCE))?;
        let over = AtomicBool::new(false);
        let source = &mut self.source;
        let (value, sent, arrived) = thread::scope(|scope| {
            let sender = placed(scope, &pair.client.namespace, CLIENT_CPU, || {
                let mut sent: Vec<Instant> = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    *source = source.checked_add(1).context("out of source ports")?;
                    let number = u32::try_from(sent.len())?.to_be_bytes();
                    sent.push(Instant::now());
                    for (kind, source) in [(0, *source), (1, SAME)] {
                        let tuple = Tuple { source: (from, source), destination: (to, port) };
                        let [a, b, c, d] = number;
                        socket.send(&datagram(tuple, &[kind, a, b, c, d]), to)?;
                    }
                    sleep(PERIOD);
                }
                Ok(sent)
            });
            let receiver = placed(scope, &pair.server.namespace, SERVER_CPU, || {
                let mut arrived = Vec::new();
                let mut buffer = [0; 8];
                loop {
                    match receiving.recv(&mut buffer) {
                        Ok(length) => {
                            ensure!(length == 5, "a probe of {length} bytes");
                            let [kind, a, b, c, d, ..] = buffer;
                            arrived.push((kind, u32::from_be_bytes([a, b, c, d])));
                        }
                        Err(error) if error.kind() == ErrorKind::WouldBlock => {
                            if over.load(Ordering::Relaxed) {
                                return Ok(arrived);
                            }
                        }
                        Err(error) => return Err(error).context("receive a probe"),
                    }
                }
            });
            let value = work();
            over.store(true, Ordering::Relaxed);
            anyhow::Ok((value?, joined(sender)?, joined(receiver)?))
        })?;
        let mut probes = [(); 2].map(|()| -> Vec<Probe> {
            sent.iter().map(|sent| Probe { sent: *sent, arrived: false }).collect()
        });
        for (kind, number) in arrived {
            let probe = probes.get_mut(kind as usize).and_then(|probes| probes.get_mut(number as usize));
            probe.context("a probe that nobody sent")?.arrived = true;
        }
        Ok((value, probes))
    }
}
