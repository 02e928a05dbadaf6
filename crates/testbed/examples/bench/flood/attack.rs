//! A task that floods another.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::traffic::{Pair, RawSocket, SERVER_CPU, Tuple, datagram, ipv4, joined, placed_before, syn};

/// What the packets are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attack {
    /// Connection requests to any port, each a flow of its own.
    Syn,
    /// Datagrams that the sender's group does not let out, each of a flow of its own.
    Refused,
    /// Datagrams from addresses that are not the sender's.
    Spoofed,
}

impl Attack {
    pub(crate) const ALL: [Self; 3] = [Self::Syn, Self::Refused, Self::Spoofed];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Syn => "SYNs to any port",
            Self::Refused => "refused by its group",
            Self::Spoofed => "spoofed sources",
        }
    }

    #[allow(clippy::cast_possible_truncation, reason = "pieces of a random number")]
    fn packet(self, from: Ipv4Addr, to: Ipv4Addr, random: u64) -> Vec<u8> {
        // Ports of 1024 and above: those that are open are below.
        let port = |bits: u64| (bits & 0xffff) as u16 | 1024;
        let (source, destination) = (port(random), port(random >> 16));
        let low = (random >> 32) as u16;
        let tuple = Tuple { source: (from, source), destination: (to, destination) };
        match self {
            Self::Syn => syn(tuple, u32::from(low)),
            Self::Refused => datagram(tuple, b"flood"),
            Self::Spoofed => {
                let [high, low] = low.to_be_bytes();
                let from = Ipv4Addr::new(10, 200, high, low);
                datagram(Tuple { source: (from, source), ..tuple }, b"flood")
            }
        }
    }
}

/// In a second.
const BURSTS: u32 = 10_000;

/// Floods the pair's server from its client while `work` is done, with so many packets a second if half a CPU is enough
/// for them. Returns how many a second there were.
pub(crate) fn during<T>(
    attack: Attack,
    pair: &Pair,
    rate: u32,
    work: impl FnOnce() -> Result<T>,
) -> Result<(T, f64)> {
    let over = AtomicBool::new(false);
    let sent = AtomicU64::new(0);
    let (from, to) = (ipv4(&pair.client)?, ipv4(&pair.server)?);
    let burst = u64::from(rate / BURSTS);
    thread::scope(|scope| {
        // Nobody keeps it from sending; what that takes from the victims' processes is the same in every subject.
        let attacker = placed_before(scope, &pair.client.namespace, SERVER_CPU, || {
            let socket = RawSocket::open()?;
            let mut random = 0x9e37_79b9_7f4a_7c15_u64;
            while !over.load(Ordering::Relaxed) {
                let begin = Instant::now();
                for _ in 0..burst {
                    random = xorshift(random);
                    socket.send(&attack.packet(from, to, random), to)?;
                }
                sent.fetch_add(burst, Ordering::Relaxed);
                // As long as the burst took at least: half of the CPU is left to the victims.
                let took = begin.elapsed();
                sleep((Duration::from_secs(1) / BURSTS).saturating_sub(took).max(took));
            }
            Ok(())
        });
        let begin = Instant::now();
        let value = work();
        #[allow(clippy::cast_precision_loss, reason = "some million")]
        let reached = sent.load(Ordering::Relaxed) as f64 / begin.elapsed().as_secs_f64();
        over.store(true, Ordering::Relaxed);
        joined(attacker)?;
        Ok((value?, reached))
    })
}

/// Marsaglia's xorshift: numbers without an order that a table could profit from.
fn xorshift(mut state: u64) -> u64 {
    state ^= state << 13;
    state ^= state >> 7;
    state ^ (state << 17)
}
