//! Connecting to the first address that answers: happy eyeballs, version 2 (RFC 8305).

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;

use enid_api::dial::wire::{ErrorCode, Family, Protocol, Refusal};
use enid_store::TaskRecord;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use rustix::io::Errno;
use tokio::net::UdpSocket;
use tokio::time::Instant;

use super::diagnosis::Diagnosis;
use super::names::{Answer, Names};
use super::sockets::Sockets;
use super::target::{Host, Target};
use super::{family, refuse};

/// "Resolution Delay": how long IPv4 addresses wait for IPv6 ones (RFC 8305, section 8).
const RESOLUTION_DELAY: Duration = Duration::from_millis(50);
/// "Connection Attempt Delay" (RFC 8305, section 8).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// More attempts than this on behalf of one dial are no help.
const MOST_ATTEMPTS: usize = 8;

/// A socket, its own address and the one it is connected to.
pub(super) type Connected = (OwnedFd, SocketAddr, SocketAddr);

/// A connection that is to be.
pub(super) struct Race<'a> {
    pub(super) names: Names,
    pub(super) diagnosis: Diagnosis,
    pub(super) sockets: Sockets,
    pub(super) protocol: Protocol,
    pub(super) timeout: Duration,
    pub(super) record: &'a TaskRecord,
}

/// Addresses to be tried, by turns of each family.
#[derive(Debug, Default)]
struct Candidates {
    ipv6: VecDeque<IpAddr>,
    ipv4: VecDeque<IpAddr>,
    last: Option<Family>,
    taken: Vec<IpAddr>,
}

impl Candidates {
    fn add(&mut self, address: IpAddr) {
        let queue = if address.is_ipv6() { &mut self.ipv6 } else { &mut self.ipv4 };
        if !queue.contains(&address) && !self.taken.contains(&address) {
            queue.push_back(address);
        }
    }

    fn is_empty(&self) -> bool {
        self.taken.len() >= MOST_ATTEMPTS || (self.ipv6.is_empty() && self.ipv4.is_empty())
    }

    fn next(&mut self) -> Option<IpAddr> {
        if self.is_empty() {
            return None;
        }
        let (first, second) = match self.last {
            Some(Family::Ipv6) => (&mut self.ipv4, &mut self.ipv6),
            Some(Family::Ipv4) | None => (&mut self.ipv6, &mut self.ipv4),
        };
        let next = first.pop_front().or_else(|| second.pop_front())?;
        self.last = Some(family(next));
        self.taken.push(next);
        Some(next)
    }
}

impl Race<'_> {
    /// Connects, or says why not, in time.
    pub(super) async fn run(self, target: &Target) -> Result<Connected, Refusal> {
        let deadline = Instant::now() + self.timeout;
        let families = self.families();
        let mut candidates = Candidates::default();
        let mut lookups = FuturesUnordered::new();
        let mut attempts = FuturesUnordered::new();
        let mut refusals: Vec<Refusal> = Vec::new();
        let mut unresolved: Vec<String> = Vec::new();
        let mut next = Instant::now();
        match &target.host {
            Host::Address(address) => self.consider(*address, &families, &mut candidates, &mut refusals),
            Host::Name(name) => lookups.extend(self.names.look_up(name, &families)),
        }
        while !(attempts.is_empty() && lookups.is_empty() && candidates.is_empty()) {
            // Not by the timer, which would make it a millisecond or two.
            if next <= Instant::now()
                && let Some(address) = candidates.next()
            {
                attempts.push(self.attempt(SocketAddr::new(address, target.port)));
                next = Instant::now() + ATTEMPT_DELAY;
            }
            tokio::select! {
                biased;
                Some(outcome) = attempts.next() => match outcome {
                    Ok(connected) => return Ok(connected),
                    Err(refusal) => {
                        refusals.push(refusal);
                        next = Instant::now();
                    }
                },
                Some(Answer { family, addresses }) = lookups.next() => {
                    match addresses {
                        Ok(addresses) => addresses
                            .into_iter()
                            .for_each(|address| self.consider(address, &families, &mut candidates, &mut refusals)),
                        Err(why) => unresolved.push(why),
                    }
                    let awaits_ipv6 = family == Some(Family::Ipv4) && !lookups.is_empty();
                    if attempts.is_empty() && candidates.taken.is_empty() {
                        next = Instant::now() + if awaits_ipv6 { RESOLUTION_DELAY } else { Duration::ZERO };
                    }
                }
                () = tokio::time::sleep_until(next), if !candidates.is_empty() => {}
                () = tokio::time::sleep_until(deadline) => {
                    return Err(self.too_late(target, &candidates, &unresolved));
                }
            }
        }
        Err(summary(target, &refusals, &unresolved))
    }

    /// The families that the ENI has addresses of.
    fn families(&self) -> Vec<Family> {
        match self.sockets {
            // The host knows by itself.
            Sockets::Host => vec![Family::Ipv6, Family::Ipv4],
            Sockets::Task(_) => {
                let own = self.record.task.eni.addresses;
                let ipv6 = own.ipv6.map(|_| Family::Ipv6);
                ipv6.into_iter().chain(own.ipv4.map(|_| Family::Ipv4)).collect()
            }
        }
    }

    /// Takes an address as a candidate, if the ENI can send there.
    fn consider(
        &self,
        address: IpAddr,
        families: &[Family],
        candidates: &mut Candidates,
        refusals: &mut Vec<Refusal>,
    ) {
        if families.contains(&family(address)) || address.is_loopback() {
            candidates.add(address);
            return;
        }
        let text = if address.is_ipv4() { "IPv4" } else { "IPv6" };
        let message =
            format!("{address} can't be reached: task {} has no {text} address", self.record.task.name);
        refusals.push(refuse(ErrorCode::Unreachable, message));
    }

    async fn attempt(&self, to: SocketAddr) -> Result<Connected, Refusal> {
        tokio::select! {
            biased;
            connected = self.connect(to) => connected.map_err(|error| refusal_of(to, &error)),
            refusal = self.diagnosis.of(to) => Err(refusal),
        }
    }

    async fn connect(&self, to: SocketAddr) -> io::Result<Connected> {
        match self.protocol {
            Protocol::Tcp => {
                let stream = self.sockets.connect(to).await?;
                let (local, remote) = (stream.local_addr()?, stream.peer_addr()?);
                Ok((stream.into_std()?.into(), local, remote))
            }
            Protocol::Udp => {
                let socket = self.sockets.make_one(family(to.ip()), Protocol::Udp).await?;
                let socket = UdpSocket::from_std(socket.into())?;
                socket.connect(to).await?;
                let (local, remote) = (socket.local_addr()?, socket.peer_addr()?);
                Ok((socket.into_std()?.into(), local, remote))
            }
        }
    }

    fn too_late(&self, target: &Target, candidates: &Candidates, unresolved: &[String]) -> Refusal {
        let seconds = self.timeout.as_secs_f64();
        if candidates.taken.is_empty() && matches!(target.host, Host::Name(_)) {
            let mut message = format!("{target} has no address after {seconds} s: no resolver answered");
            if let Some(why) = unresolved.first() {
                let _ = write!(message, "; {why}");
            }
            return refuse(ErrorCode::NameNotResolved, message);
        }
        let tried: Vec<String> = candidates.taken.iter().map(ToString::to_string).collect();
        let message = match &target.host {
            Host::Address(_) => format!("{target} did not answer within {seconds} s"),
            Host::Name(_) => {
                format!("{target} did not answer within {seconds} s (tried: {})", tried.join(", "))
            }
        };
        refuse(ErrorCode::TimedOut, message)
    }
}

/// One refusal for all: the one that says most first.
fn summary(target: &Target, refusals: &[Refusal], unresolved: &[String]) -> Refusal {
    const TELLING: [ErrorCode; 5] = [
        ErrorCode::Internal,
        ErrorCode::SecurityGroup,
        ErrorCode::Refused,
        ErrorCode::TimedOut,
        ErrorCode::Unreachable,
    ];
    let code = TELLING.into_iter().find(|code| refusals.iter().any(|refusal| refusal.code == *code));
    let Some(code) = code else {
        let why = joined(unresolved.iter().map(String::as_str));
        return refuse(ErrorCode::NameNotResolved, format!("{target} has no address: {why}"));
    };
    let reasons = joined(refusals.iter().map(|refusal| refusal.message.as_str()));
    refuse(
        code,
        match target.host {
            Host::Address(_) => reasons,
            Host::Name(_) => format!("no connection to {target}: {reasons}"),
        },
    )
}

/// Sentences, each once.
fn joined<'a>(sentences: impl Iterator<Item = &'a str>) -> String {
    let mut different: Vec<&str> = Vec::new();
    for sentence in sentences {
        if !different.contains(&sentence) {
            different.push(sentence);
        }
    }
    different.join("; ")
}

fn refusal_of(to: SocketAddr, error: &io::Error) -> Refusal {
    let code = match Errno::from_io_error(error) {
        Some(Errno::CONNREFUSED | Errno::CONNRESET) => ErrorCode::Refused,
        Some(Errno::TIMEDOUT) => ErrorCode::TimedOut,
        Some(
            Errno::NETUNREACH
            | Errno::HOSTUNREACH
            | Errno::NETDOWN
            | Errno::ADDRNOTAVAIL
            | Errno::INVAL
            | Errno::ACCESS
            | Errno::PERM,
        ) => ErrorCode::Unreachable,
        _ => ErrorCode::Internal,
    };
    let message = match code {
        ErrorCode::Refused => format!("{to} refuses connections"),
        ErrorCode::TimedOut => format!("{to} did not answer"),
        ErrorCode::Unreachable => format!("{to} can't be reached: {error}"),
        _ => {
            tracing::error!(%to, %error, "a dial failed");
            format!("connecting to {to} failed: {error}")
        }
    };
    refuse(code, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns_and_ipv6_begins() {
        let mut candidates = Candidates::default();
        for text in ["10.0.0.1", "10.0.0.2", "fd00::1", "10.0.0.3", "fd00::2", "10.0.0.1"] {
            candidates.add(text.parse().unwrap());
        }
        let mut order = Vec::new();
        while let Some(address) = candidates.next() {
            order.push(address.to_string());
            // What was tried is not tried again.
            candidates.add(address);
        }
        assert_eq!(order, ["fd00::1", "10.0.0.1", "fd00::2", "10.0.0.2", "10.0.0.3"]);
        (0..100).for_each(|last| candidates.add(IpAddr::from([10, 0, 1, last])));
        assert_eq!(std::iter::from_fn(|| candidates.next()).count(), MOST_ATTEMPTS - 5);
    }

    #[test]
    fn the_most_telling_refusal_is_the_answer() {
        let target = Target::new("db.internal", 5432).unwrap();
        let nothing = summary(&target, &[], &["there is no such name".to_owned()]);
        assert_eq!(nothing.code, ErrorCode::NameNotResolved);
        let refusals = [
            refuse(ErrorCode::Unreachable, "[fd00::1]:5432 can't be reached: no route"),
            refuse(ErrorCode::Refused, "10.0.0.1:5432 refuses connections"),
        ];
        let said = summary(&target, &refusals, &[]);
        assert_eq!(said.code, ErrorCode::Refused);
        assert!(said.message.contains("no route") && said.message.contains("refuses"), "{}", said.message);
    }
}
