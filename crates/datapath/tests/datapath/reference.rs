//! Another reader of headers, written from the RFCs and not from the programs, as their judge: it takes pieces off the
//! front of a slice, and whatever can't be taken is malformed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use enid_datapath::{Bucket, Direction};

use crate::case::{Place, Tuple};

struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self, bytes: usize) -> Option<usize> {
        Some(self.take(bytes)?.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    fn octet(&mut self) -> Option<u8> {
        self.take(1).map(|octets| octets[0])
    }
}

/// What a whole IP packet says.
struct Said {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    length: usize,
    /// What follows the headers, if it begins with the protocol's header.
    payload: Option<Vec<u8>>,
}

/// Where a frame of one packet is to be counted, and its layer-3 bytes.
pub(crate) fn read(frame: &[u8], direction: Direction) -> (Place, usize) {
    let mut rest = Rest(frame);
    rest.take(12).unwrap();
    let ether_type = rest.number(2).unwrap();
    let present = rest.0;
    let bucket = |bucket| (Place::Bucket(bucket), present.len());
    let is_metadata = |address: &[u8]| match <[u8; 4]>::try_from(address) {
        Ok(address) => Ipv4Addr::from(address) == Ipv4Addr::new(169, 254, 169, 254),
        Err(_) => address == "fd00:ec2::254".parse::<Ipv6Addr>().unwrap().octets(),
    };
    let (said, destination) = match ether_type {
        0x0806 => return bucket(Bucket::Arp),
        0x0800 => (ipv4(present), present.get(16..20)),
        0x86dd => (ipv6(present), present.get(24..40)),
        _ => return bucket(Bucket::NotIp),
    };
    if direction == Direction::Egress && destination.is_some_and(is_metadata) {
        return bucket(Bucket::InstanceMetadata);
    }
    let Some(said) = said else {
        return bucket(Bucket::Malformed);
    };
    let Some((ports, flags, discovers)) = transport(&said) else {
        return bucket(Bucket::Malformed);
    };
    let link_local = |address: IpAddr| matches!(address, IpAddr::V4(address) if address.is_link_local());
    if link_local(said.source) || link_local(said.destination) {
        return (Place::Bucket(Bucket::LinkLocal), said.length);
    }
    if discovers {
        return (Place::Bucket(Bucket::NeighborDiscovery), said.length);
    }
    let tuple = Tuple {
        direction,
        source: said.source,
        destination: said.destination,
        protocol: said.protocol,
        ports,
    };
    (Place::Flow(tuple, flags), said.length)
}

fn ipv4(present: &[u8]) -> Option<Said> {
    let mut rest = Rest(present);
    let first = rest.octet()?;
    rest.take(1)?;
    let length = rest.number(2)?;
    rest.take(2)?;
    let fragment_offset = rest.number(2)? % (1 << 13);
    rest.take(1)?;
    let protocol = rest.octet()?;
    rest.take(2)?;
    let source = Ipv4Addr::from(<[u8; 4]>::try_from(rest.take(4)?).ok()?);
    let destination = Ipv4Addr::from(<[u8; 4]>::try_from(rest.take(4)?).ok()?);
    let words = usize::from(first % 16);
    let payload = present.get(..length)?.get(words * 4..)?;
    (first / 16 == 4 && words >= 5).then(|| Said {
        source: source.into(),
        destination: destination.into(),
        protocol,
        length,
        payload: (fragment_offset == 0).then(|| payload.to_vec()),
    })
}

fn ipv6(present: &[u8]) -> Option<Said> {
    let mut rest = Rest(present);
    let version = rest.octet()? / 16;
    rest.take(3)?;
    let stated = rest.number(2)?;
    let mut next = rest.octet()?;
    rest.take(1)?;
    let source = Ipv6Addr::from(<[u8; 16]>::try_from(rest.take(16)?).ok()?);
    let destination = Ipv6Addr::from(<[u8; 16]>::try_from(rest.take(16)?).ok()?);
    // A jumbogram states its length in an option of the first header (RFC 2675).
    let jumbo = stated == 0 && next == 0;
    if version != 6 || jumbo && rest.0.get(2) != Some(&0xc2) {
        return None;
    }
    let stated = if jumbo { rest.0.len() } else { stated };
    let mut rest = Rest(rest.0.get(..stated)?);
    let mut payload = true;
    let mut headers = 0;
    while payload && [0, 43, 44, 51, 60].contains(&next) {
        headers += 1;
        let mut header = Rest(rest.0);
        let (following, length) = (header.octet()?, header.number(1)?);
        if next == 44 {
            payload = header.number(2)? / 8 == 0;
        }
        rest.take(match next {
            44 => 8,
            51 => length * 4 + 8,
            _ => length * 8 + 8,
        })?;
        next = following;
    }
    (headers <= 8).then(|| Said {
        source: source.into(),
        destination: destination.into(),
        protocol: next,
        length: 40 + stated,
        payload: payload.then(|| rest.0.to_vec()),
    })
}

/// Ports, flags as flow logs have them, and whether it is neighbour discovery.
fn transport(said: &Said) -> Option<((u16, u16), u8, bool)> {
    let Some(payload) = &said.payload else {
        return Some(((0, 0), 0, false));
    };
    let port = |at: usize| u16::from_be_bytes([payload[at], payload[at + 1]]);
    let longer_than = |length: usize| (payload.len() >= length).then_some(());
    match (said.protocol, said.source.is_ipv6()) {
        (6, _) => {
            longer_than(20)?;
            let header = usize::from(payload[12] / 16) * 4;
            longer_than(header)?;
            let on = |bit: u8| payload[13] >> bit & 1;
            let (fin, syn, rst, ack) = (on(0), on(1), on(2), on(4));
            let flags = fin + 2 * syn + 4 * rst + 16 * (syn & ack);
            (header >= 20).then_some(((port(0), port(2)), flags, false))
        }
        (17, _) => longer_than(8).map(|()| ((port(0), port(2)), 0, false)),
        (132, _) => longer_than(12).map(|()| ((0, 0), 0, false)),
        (1, false) => longer_than(8).map(|()| ((0, 0), 0, false)),
        (58, true) => {
            longer_than(4)?;
            let discovers = (130..=137).contains(&payload[0]) || payload[0] == 143;
            Some(((0, 0), 0, discovers))
        }
        _ => Some(((0, 0), 0, false)),
    }
}
