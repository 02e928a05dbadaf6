//! Traffic between two network namespaces, made and measured here, so that every subject is measured by the same code.
//!
//! The client's thread has one CPU to itself and the server's another, the same for every subject: where a veth hands a
//! packet on, the kernel goes on with it on the CPU that sent it.

mod connect;
mod connection;
mod cpu;
mod datagrams;
mod place;
mod raw;
mod request;
mod stream;

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::OwnedFd;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

pub(crate) use connect::connects;
pub(crate) use connection::Connection;
pub(crate) use cpu::busy_seconds;
pub(crate) use datagrams::datagrams;
pub(crate) use place::{inside, joined, placed, placed_before, take_the_lead};
pub(crate) use raw::{RawSocket, Tuple, datagram, syn};
pub(crate) use request::requests;
pub(crate) use stream::stream;

/// The port of every server: one that the security groups of a measured task let in.
pub(crate) const PORT: u16 = 5001;
/// The CPU of whoever begins: the sender of a stream, the client.
pub(crate) const CLIENT_CPU: usize = 0;
/// The CPU of the other side.
pub(crate) const SERVER_CPU: usize = 1;
/// How long a socket waits for what should come at once.
const PATIENCE: Duration = Duration::from_secs(5);

/// One end of the way that is measured.
pub(crate) struct End {
    pub(crate) namespace: OwnedFd,
    pub(crate) address: IpAddr,
}

/// Its IPv4 address.
pub(crate) fn ipv4(end: &End) -> Result<Ipv4Addr> {
    match end.address {
        IpAddr::V4(address) => Ok(address),
        IpAddr::V6(address) => bail!("{address} is not an IPv4 address"),
    }
}

/// Both ends.
pub(crate) struct Pair {
    pub(crate) client: End,
    pub(crate) server: End,
}

impl Pair {
    /// The same ends once more.
    pub(crate) fn again(&self) -> Result<Self> {
        let end = |end: &End| anyhow::Ok(End { namespace: end.namespace.try_clone()?, address: end.address });
        Ok(Self { client: end(&self.client)?, server: end(&self.server)? })
    }
}

/// When something is measured: after a while of the same traffic, for a while.
#[derive(Clone, Copy)]
pub(crate) struct Window {
    pub(crate) warm_up: Duration,
    pub(crate) length: Duration,
}

impl Window {
    /// Calls `look` at the window's begin and end. Returns both values and the time between them.
    fn observe<T>(self, look: impl Fn() -> T) -> (T, T, Duration) {
        sleep(self.warm_up);
        let (begin, before) = (Instant::now(), look());
        sleep(self.length);
        let (end, after) = (Instant::now(), look());
        (before, after, end - begin)
    }
}
