//! Sends a flow's first packet, and sees whether it arrives.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::num::NonZeroU32;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use enid_api::v1::Task;
use enid_netns::Namespace;
use enid_testbed::namespace::inside;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketType, bind, recv, sendto, socket};

use crate::networks::{self, ipv4, ipv6};

/// How long a packet that should not arrive is waited for.
const PATIENCE: Duration = Duration::from_millis(700);
/// How long until it is sent again, as long as it has not arrived.
const AGAIN: Duration = Duration::from_millis(100);

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Probe {
    /// A connection to a port.
    Tcp(u16),
    /// A datagram to a port.
    Udp(u16),
    /// An ICMP or ICMPv6 message of a type and code.
    Icmp(u8, u8),
    /// A packet of another protocol.
    Other(u8),
}

/// Which of a task's addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

pub(super) use Family::{V4, V6};
pub(super) use Probe::{Icmp, Other, Tcp, Udp};

impl Family {
    pub(super) fn address(self, task: &Task) -> IpAddr {
        match self {
            V4 => ipv4(task),
            V6 => ipv6(task),
        }
    }
}

/// Whether a packet from one task arrives at another.
pub(super) fn arrives(from: &Task, to: &Task, family: Family, probe: Probe) -> bool {
    let (source, destination) = (family.address(from), family.address(to));
    let (from, to) = (networks::inside(from), networks::inside(to));
    match probe {
        Tcp(port) => tcp(&from, &to, source, SocketAddr::new(destination, port)),
        Udp(port) => udp(&from, &to, source, SocketAddr::new(destination, port)),
        Icmp(kind, code) => {
            let number = if destination.is_ipv4() { 1 } else { 58 };
            raw(&from, &to, [source, destination], number, &message(kind, code))
        }
        Other(number) => raw(&from, &to, [source, destination], number, &MARK),
    }
}

fn tcp(from: &Namespace, to: &Namespace, source: IpAddr, destination: SocketAddr) -> bool {
    let _listener = inside(to, || TcpListener::bind(destination)).unwrap();
    match inside(from, || TcpStream::connect_timeout(&destination, PATIENCE)) {
        Ok(stream) => {
            assert_eq!(stream.local_addr().unwrap().ip(), source);
            true
        }
        Err(error) => {
            assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{destination}: {error}");
            false
        }
    }
}

fn udp(from: &Namespace, to: &Namespace, source: IpAddr, destination: SocketAddr) -> bool {
    let receiver = inside(to, || UdpSocket::bind(destination)).unwrap();
    let sender = inside(from, || UdpSocket::bind(SocketAddr::new(source, 0))).unwrap();
    receiver.set_read_timeout(Some(AGAIN)).unwrap();
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        sender.send_to(&MARK, destination).unwrap();
        if receiver.recv(&mut [0; 64]).is_ok() {
            return true;
        }
    }
    false
}

/// What packets of a probe carry, to be known by.
const MARK: [u8; 16] = *b"a probe of enid.";

/// An ICMP message with the mark. Its checksum (RFC 1071) is the kernel's business where it is ICMPv6.
fn message(kind: u8, code: u8) -> Vec<u8> {
    let mut message = vec![kind, code, 0, 0, 0, 1, 0, 1];
    message.extend(MARK);
    let words = message.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let checksum = !u16::try_from(sum).unwrap();
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    message
}

fn raw(
    from: &Namespace,
    to: &Namespace,
    [source, destination]: [IpAddr; 2],
    number: u8,
    payload: &[u8],
) -> bool {
    let open = |namespace: &Namespace, address: IpAddr| -> OwnedFd {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let protocol = NonZeroU32::new(number.into()).map(Protocol::from_raw);
        inside(namespace, || {
            let opened = socket(family, SocketType::RAW, protocol).unwrap();
            bind(&opened, &SocketAddr::new(address, 0)).unwrap();
            opened
        })
    };
    let (sender, receiver) = (open(from, source), open(to, destination));
    set_socket_timeout(&receiver, Timeout::Recv, Some(AGAIN)).unwrap();
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        sendto(&sender, payload, SendFlags::empty(), &SocketAddr::new(destination, 0)).unwrap();
        let waiting = Instant::now();
        while waiting.elapsed() < AGAIN {
            let mut packet = [0; 256];
            let Ok((length, _)) = recv(&receiver, &mut packet, RecvFlags::empty()) else { break };
            // Of IPv4 the kernel gives the header too; and all others that come.
            if packet[..length].ends_with(payload)
                || is_same_but_for_checksum(&packet[..length], payload, number)
            {
                return true;
            }
        }
    }
    false
}

/// Of ICMPv6 the kernel sets the checksum of what is sent.
fn is_same_but_for_checksum(packet: &[u8], payload: &[u8], number: u8) -> bool {
    number == 58
        && packet.len() == payload.len()
        && packet[..2] == payload[..2]
        && packet[4..] == payload[4..]
}

/// An address that nobody has.
pub(super) fn nobody(family: Family) -> IpAddr {
    match family {
        V4 => Ipv4Addr::new(192, 0, 2, 99).into(),
        V6 => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 99).into(),
    }
}
