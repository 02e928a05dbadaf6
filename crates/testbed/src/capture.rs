//! A packet capture at one interface, counted without a line of what it is held against.
//!
//! A socket of packet(7) sees each buffer as the device gets it or has received it. Counted is what that is on the wire:
//!
//! - **Bytes** are from the IP header on, as many as the IP header states, so that padding of a frame does not count (RFC
//!   791 section 3.1, RFC 8200 section 3). Of a frame that is not IP, or contradicts itself, all behind the Ethernet header.
//! - **A segmented buffer**, which `PACKET_VNET_HDR` tells by its `gso_size`, counts as its segments: the payload behind the
//!   TCP or UDP header, divided by `gso_size` and rounded up, and the headers once in each. A buffer of more than 65,535 bytes
//!   states no length (BIG TCP), and in IPv6 has a header with a jumbo payload option (RFC 2675) that no segment has.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a step that fails panics, since a test wants to know where it failed"
)]

mod packet;
mod socket;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use enid_netns::Namespace;

use packet::{Fragments, parse};
use socket::Socket;

/// Packets on the wire, and their layer-3 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seen {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Seen {
    /// Adds some.
    pub const fn add(&mut self, other: Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
    }
}

/// Whether a packet was sent by whom the interface belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Way {
    /// It was sent.
    Out,
    /// It has arrived.
    In,
}

/// What packets of a flow have in common. Fragments have the ports of their datagram's first, or 0 where that was not seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Flow {
    /// Its direction.
    pub way: Way,
    /// The source address.
    pub source: IpAddr,
    /// The destination address.
    pub destination: IpAddr,
    /// The protocol; in IPv6, of the header after the extension headers.
    pub protocol: u8,
    /// The source port of TCP and UDP, else 0.
    pub source_port: u16,
    /// The destination port of TCP and UDP, else 0.
    pub destination_port: u16,
}

/// What a capture has seen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Captured {
    /// By flow.
    pub flows: HashMap<Flow, Seen>,
    /// What is no IP packet, or none that is well-formed: sent and arrived.
    pub others: [Seen; 2],
    /// Of all, packets by their length from the IP header on and whether they may not be fragmented: those that are longer
    /// than the limit that the capture was given.
    pub too_long: HashMap<Flow, Seen>,
    /// Buffers that were segmented.
    pub segmented: u64,
}

impl Captured {
    /// All that was seen in a direction.
    pub fn total(&self, way: Way) -> Seen {
        let mut total = self.others[way as usize];
        for (_, seen) in self.flows.iter().filter(|(flow, _)| flow.way == way) {
            total.add(*seen);
        }
        total
    }
}

/// A capture that runs until it is dropped.
#[derive(Debug)]
pub struct Capture {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    is_stopped: AtomicBool,
}

#[derive(Debug)]
struct State {
    socket: Socket,
    fragments: Fragments,
    captured: Captured,
    dropped: u64,
    /// Whole packets longer than this are counted in [`Captured::too_long`], too.
    limit: u64,
}

impl Capture {
    /// Begins to capture at an interface of a namespace. `limit` is the length from which on a packet counts as too long.
    pub fn start(namespace: &Namespace, interface: &str, limit: u64) -> Self {
        let socket = Socket::open(namespace, interface);
        let state = State {
            socket,
            fragments: Fragments::default(),
            captured: Captured::default(),
            dropped: 0,
            limit,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), is_stopped: AtomicBool::new(false) });
        let of_thread = Arc::clone(&shared);
        let work = move || {
            while !of_thread.is_stopped.load(Ordering::Relaxed) {
                let waiter = of_thread.lock().socket.waiter();
                waiter.wait();
                of_thread.lock().drain();
            }
        };
        let thread = std::thread::Builder::new().name("capture".to_owned()).spawn(work);
        Self { shared, thread: Some(thread.expect("start a thread")) }
    }

    /// What was seen until now, to the last packet; none may have been missed.
    #[track_caller]
    pub fn captured(&self) -> Captured {
        let mut state = self.shared.lock();
        state.drain();
        assert_eq!(state.dropped, 0, "packets that the capture has missed");
        state.captured.clone()
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.shared.is_stopped.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // If it has panicked, it has said so.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Counts what waits in the socket.
    fn drain(&mut self) {
        while let Some(buffer) = self.socket.next() {
            let packet = parse(&buffer, &mut self.fragments);
            self.captured.segmented += u64::from(buffer.segment_size > 0);
            let Some(flow) = packet.flow else {
                self.captured.others[buffer.way as usize].add(packet.seen);
                continue;
            };
            self.captured.flows.entry(flow).or_default().add(packet.seen);
            if packet.longest > self.limit {
                self.captured.too_long.entry(flow).or_default().add(packet.seen);
            }
        }
        self.dropped += self.socket.missed();
    }
}
