//! Very many flows from one task to another: datagrams, a flow for each pair of ports.

use std::fs;
use std::net::UdpSocket;
use std::ops::Range;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};

use crate::traffic::{Pair, RawSocket, Tuple, datagram, inside, ipv4};

/// How many source ports are used with each destination port.
const SOURCES: u32 = 62_500;
const FIRST_SOURCE: u32 = 1_024;
const FIRST_DESTINATION: u32 = 2_000;
/// What a datagram holds.
const PAYLOAD: &[u8] = b"flow";
/// How many datagrams are sent at once, where a rate is to be kept.
const BURST: u32 = 100;

/// Flows from a pair's client to its server, by number.
pub(crate) struct Crowd<'a> {
    pair: &'a Pair,
    /// Never read: so that nothing is answered.
    _receivers: Vec<UdpSocket>,
}

impl<'a> Crowd<'a> {
    /// So many flows.
    pub(crate) fn new(pair: &'a Pair, flows: u32) -> Result<Self> {
        let to = ipv4(&pair.server)?;
        let receivers = inside(&pair.server.namespace, || {
            let ports = FIRST_DESTINATION..FIRST_DESTINATION + flows.div_ceil(SOURCES);
            let sockets = ports.map(|port| Ok(UdpSocket::bind((to, u16::try_from(port)?))?));
            sockets.collect::<Result<_>>()
        })?;
        Ok(Self { pair, _receivers: receivers })
    }

    /// Sends a datagram of each of these flows, at most `rate` a second where one is given.
    pub(crate) fn send(&self, flows: Range<u32>, rate: Option<u32>) -> Result<()> {
        let (from, to) = (ipv4(&self.pair.client)?, ipv4(&self.pair.server)?);
        inside(&self.pair.client.namespace, || {
            let socket = RawSocket::open()?;
            let mut packet = datagram(Tuple { source: (from, 0), destination: (to, 0) }, PAYLOAD);
            let begin = Instant::now();
            let mut sent = 0;
            for flow in flows {
                let [source, destination] = ports(flow)?.map(u16::to_be_bytes);
                let field = packet.get_mut(20..24).context("a datagram has ports")?;
                field.copy_from_slice(&[source[0], source[1], destination[0], destination[1]]);
                socket.send(&packet, to)?;
                sent += 1;
                if let Some(rate) = rate.filter(|_| sent % BURST == 0) {
                    let due = Duration::from_secs(1) * sent / rate;
                    sleep(due.saturating_sub(begin.elapsed()));
                }
            }
            Ok(())
        })
    }

    /// The same by two threads, as one may be too slow for a rate.
    pub(crate) fn send_by_two(&self, flows: u32, rate: u32) -> Result<()> {
        let half = flows / 2;
        thread::scope(|scope| {
            let other = scope.spawn(|| self.send(half..flows, Some(rate / 2)));
            self.send(0..half, Some(rate / 2))?;
            other.join().unwrap_or_else(|_| Err(anyhow!("a thread ended early")))
        })
    }

    /// What the client's interface could not hand on since it was made, in packets: no program has seen it.
    pub(crate) fn dropped(&self) -> Result<u64> {
        let table = inside(&self.pair.client.namespace, || {
            fs::read_to_string("/proc/thread-self/net/dev").context("read the interface's counters")
        })?;
        let line = table.lines().find_map(|line| line.trim().strip_prefix("eth0:"));
        // Eight of receiving, then bytes, packets, errors and drops of sending: proc_pid_net(5).
        let dropped =
            line.and_then(|line| line.split_whitespace().nth(11)).context("eth0 has no counters")?;
        Ok(dropped.parse()?)
    }
}

/// The source and the destination port of a flow.
pub(crate) fn ports(flow: u32) -> Result<[u16; 2]> {
    let ports = [FIRST_SOURCE + flow % SOURCES, FIRST_DESTINATION + flow / SOURCES];
    ensure!(ports[1] < u32::from(u16::MAX), "more flows than there are ports");
    Ok([u16::try_from(ports[0])?, u16::try_from(ports[1])?])
}
