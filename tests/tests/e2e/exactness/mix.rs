//! Traffic of all kinds, at random, for as long as it is wanted.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use enid_netns::Namespace;
use enid_testbed::frames::FrameSender;
use enid_testbed::namespace::{command, inside};
use enid_testbed::traffic::segment;
use rustix::net::{AddressFamily, SendFlags, SocketType, ipproto, sendto, socket};

use super::frames::{self, Ends};

/// Where connections are taken.
pub(super) const TCP_PORT: u16 = 5000;
/// Where somebody hears datagrams, and where nobody does.
pub(super) const UDP_PORTS: [u16; 2] = [5001, 5002];
/// What is let in, and nobody listens at.
const CLOSED_PORT: u16 = 5009;
/// What no rule of the receiver lets in, and what none of the sender lets out.
pub(super) const REFUSED_PORTS: [u16; 2] = [7000, 7100];
/// How long an answer is waited for: nothing here depends on one.
const PATIENCE: Duration = Duration::from_millis(300);

/// Somebody in a namespace of its own.
pub(super) struct Party {
    pub(super) namespace: Namespace,
    /// IPv4 and IPv6.
    pub(super) addresses: [IpAddr; 2],
    pub(super) gateway: Option<[IpAddr; 2]>,
    /// Whom it sends to; the last one lets everything in.
    pub(super) peers: Vec<[IpAddr; 2]>,
    /// What frames it may make itself, to its peers.
    pub(super) ends: Vec<Ends>,
}

/// What goes on.
#[derive(Default)]
pub(super) struct Phase {
    pub(super) is_over: AtomicBool,
    /// Connections follow each other without a pause, most of them to a port that nobody listens at.
    pub(super) is_flooding: AtomicBool,
    /// Nobody sends.
    pub(super) is_paused: AtomicBool,
    pub(super) steps: AtomicU64,
}

impl Phase {
    fn goes_on(&self) -> bool {
        !self.is_over.load(Ordering::Relaxed)
    }
}

/// Takes connections and hears datagrams, both families, until it is over.
pub(super) fn serve(party: &Party, phase: &Phase) {
    inside(&party.namespace, || {
        let everywhere = IpAddr::from(Ipv6Addr::UNSPECIFIED);
        let listener = TcpListener::bind((everywhere, TCP_PORT)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let datagrams = UdpSocket::bind((everywhere, UDP_PORTS[0])).unwrap();
        datagrams.set_nonblocking(true).unwrap();
        let mut number = 0_u32;
        thread::scope(|scope| {
            while phase.goes_on() {
                let mut is_idle = true;
                while let Ok((stream, _)) = listener.accept() {
                    number += 1;
                    is_idle = false;
                    stream.set_nonblocking(false).unwrap();
                    stream.set_read_timeout(Some(PATIENCE)).unwrap();
                    stream.set_write_timeout(Some(PATIENCE)).unwrap();
                    // Some read on, others leave: what comes then is answered with a reset.
                    if number.is_multiple_of(7) {
                        continue;
                    }
                    scope.spawn(move || answer(stream));
                }
                let mut buffer = [0; 64];
                while let Ok((_, from)) = datagrams.recv_from(&mut buffer) {
                    is_idle = false;
                    // Whoever asked may be gone.
                    let _ = datagrams.send_to(&buffer, from);
                }
                if is_idle {
                    thread::sleep(Duration::from_millis(1));
                }
            }
        });
    });
}

/// Reads to the end, and sends back a tenth.
fn answer(mut stream: TcpStream) {
    let (mut buffer, mut received) = (vec![0; 1 << 16], 0);
    while let Ok(length) = stream.read(&mut buffer) {
        received += length;
        if length == 0 {
            break;
        }
    }
    let _ = stream.write_all(&vec![1; received / 10]);
}

/// Sends at random until it is over.
pub(super) fn send(party: &Party, phase: &Phase, mut random: fastrand::Rng) {
    inside(&party.namespace, || {
        let frames = (!party.ends.is_empty()).then(|| FrameSender::open(&party.namespace, "eth0"));
        while phase.goes_on() {
            if phase.is_paused.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(5));
                continue;
            }
            let family = random.usize(0..2);
            let Some(peer) = random.choice(&party.peers) else { return };
            let (from, to) = (party.addresses[family], peer[family]);
            if phase.is_flooding.load(Ordering::Relaxed) && random.u8(0..10) > 0 {
                connect(&mut random, SocketAddr::new(to, TCP_PORT), 10);
                let closed = party.peers.last().map(|peer| SocketAddr::new(peer[family], CLOSED_PORT));
                for closed in closed.into_iter().cycle().take(20) {
                    // Refused at once, by its kernel.
                    let _ = TcpStream::connect_timeout(&closed, PATIENCE);
                }
                continue;
            }
            match random.u8(0..24) {
                0..4 => datagrams(&mut random, from, to),
                4..8 => connect(&mut random, SocketAddr::new(to, TCP_PORT), 20_000),
                8 => connect(&mut random, SocketAddr::new(to, TCP_PORT), 1_000_000),
                9..11 => refused(&mut random, from, to),
                11..13 => pings(&mut random, to),
                13 => pings(&mut random, party.gateway.map_or(to, |gateway| gateway[family])),
                14 => on_two_processors(from, to, random.u16(40_010..40_014)),
                15..17 => segments(&mut random, from, to),
                17 if frames.is_some() => offloads(&mut random, &party.namespace),
                _ => {
                    let (Some(sender), Some(ends)) = (&frames, random.choice(&party.ends)) else { continue };
                    for _ in 0..random.usize(1..6) {
                        let (frame, segmentation) = frames::any(ends, &mut random);
                        sender.send(&frame, segmentation);
                    }
                    sender.send(&frames::arp(ends, random.bool()), None);
                }
            }
            phase.steps.fetch_add(1, Ordering::Relaxed);
            thread::sleep(Duration::from_millis(random.u64(0..25)));
        }
    });
}

/// From one of few ports, so that flows go on; some larger than any packet, so that they are cut into fragments.
fn datagrams(random: &mut fastrand::Rng, from: IpAddr, to: IpAddr) {
    let Ok(socket) = UdpSocket::bind((from, random.u16(40_000..40_008))) else { return };
    let to = SocketAddr::new(to, *random.choice(&UDP_PORTS).unwrap());
    let most = *random.choice(&[100, 1400, 8900, 30_000]).unwrap();
    for _ in 0..random.usize(1..20) {
        // Errors are those that ICMP has told of before.
        let _ = socket.send_to(&vec![3; random.usize(0..most)], to);
    }
}

/// A connection with so many bytes at most, which ends well or with a reset.
fn connect(random: &mut fastrand::Rng, to: SocketAddr, most: usize) {
    let Ok(mut stream) = TcpStream::connect_timeout(&to, PATIENCE) else { return };
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    let _ = stream.write_all(&vec![5; random.usize(0..=most)]);
    if random.u8(0..8) == 0 {
        // Unread bytes make a reset of it: RFC 2525 section 2.17.
        let _ = stream.peek(&mut [0]);
        return;
    }
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let _ = stream.read_to_end(&mut Vec::new());
}

/// What no rule allows: nobody answers, and nobody waits.
fn refused(random: &mut fastrand::Rng, from: IpAddr, to: IpAddr) {
    let to = SocketAddr::new(to, REFUSED_PORTS[random.usize(0..2)] + random.u16(0..4));
    if random.bool() {
        let _ = TcpStream::connect_timeout(&to, Duration::from_millis(1));
    } else if let Ok(socket) = UdpSocket::bind((from, random.u16(40_000..40_008))) {
        for _ in 0..random.usize(1..6) {
            let _ = socket.send_to(&vec![3; random.usize(0..1400)], to);
        }
    }
}

/// Echo requests, some in fragments: RFC 792, RFC 4443 section 4.1. The kernel puts the checksum into the latter.
fn pings(random: &mut fastrand::Rng, to: IpAddr) {
    let (family, protocol, kind) = match to {
        IpAddr::V4(_) => (AddressFamily::INET, ipproto::ICMP, 8),
        IpAddr::V6(_) => (AddressFamily::INET6, ipproto::ICMPV6, 128),
    };
    let raw = socket(family, SocketType::RAW, Some(protocol)).unwrap();
    for number in 0..random.u8(1..6) {
        let mut message = vec![kind, 0, 0, 0, 0, 1, 0, number];
        message.resize(8 + random.usize(0..*random.clone().choice(&[100, 4000]).unwrap()), 1);
        let sum = frames::checksum(&message);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        let _ = sendto(&raw, &message, SendFlags::empty(), &SocketAddr::new(to, 0));
    }
}

/// One flow, from two processors at the same time.
fn on_two_processors(from: IpAddr, to: IpAddr, port: u16) {
    let Ok(socket) = UdpSocket::bind((from, port)) else { return };
    let to = SocketAddr::new(to, UDP_PORTS[0]);
    thread::scope(|scope| {
        for processor in 0..2 {
            let socket = &socket;
            scope.spawn(move || {
                let mut processors = rustix::thread::CpuSet::new();
                processors.set(processor);
                // Of a machine with one processor it is two threads.
                let _ = rustix::thread::sched_setaffinity(None, &processors);
                for _ in 0..40 {
                    let _ = socket.send_to(&[0; 72], to);
                }
            });
        }
    });
}

/// Datagrams that the kernel cuts: `UDP_SEGMENT`.
fn segments(random: &mut fastrand::Rng, from: IpAddr, to: IpAddr) {
    let Ok(socket) = UdpSocket::bind((from, random.u16(40_020..40_024))) else { return };
    let size = random.u16(100..1400);
    segment(&socket, size);
    let count = random.usize(1..40);
    let _ = socket.send_to(&vec![3; usize::from(size) * count - random.usize(0..100)], (to, UDP_PORTS[0]));
}

/// Has the kernel or the device cut buffers, from now on.
fn offloads(random: &mut fastrand::Rng, namespace: &Namespace) {
    let mut on = || if random.bool() { "on" } else { "off" };
    command(namespace, &["ethtool", "-K", "eth0", "tso", on(), "gso", on(), "tx-udp-segmentation", on()]);
}
