//! Another reader of headers, written from the RFCs and not from the programs, as their judge: it takes pieces off the
//! front of a slice, and whatever can't be taken is malformed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use enid_datapath::{Bucket, Direction};

use crate::records::Tuple;

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

/// What a frame of one packet says.
#[derive(Debug, Clone)]
pub(crate) struct Read {
    /// Its layer-3 bytes.
    pub(crate) bytes: usize,
    pub(crate) said: Said,
}

/// What a frame is.
#[derive(Debug, Clone)]
pub(crate) enum Said {
    /// Not a packet that rules could judge.
    Bucket(Bucket),
    /// A whole IP packet.
    Packet(Packet),
}

/// A whole IP packet, or a fragment of one.
#[derive(Debug, Clone)]
pub(crate) struct Packet {
    /// A later fragment has no ports.
    pub(crate) tuple: Tuple,
    /// TCP flags as flow logs have them.
    pub(crate) flags: u8,
    /// The type of an ICMP or ICMPv6 message.
    pub(crate) message: Option<u8>,
    /// If it is a fragment.
    pub(crate) fragment: Option<Fragment>,
    /// What follows the IP headers.
    pub(crate) payload: Vec<u8>,
}

/// Which fragment it is of which datagram.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fragment {
    pub(crate) identification: u32,
    pub(crate) is_first: bool,
}

/// What the IP headers say.
struct Internet {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    length: usize,
    fragment: Option<Fragment>,
    payload: Vec<u8>,
}

/// Reads a frame of one packet.
pub(crate) fn read(frame: &[u8], direction: Direction) -> Read {
    let mut rest = Rest(frame);
    rest.take(12).unwrap();
    let ether_type = rest.number(2).unwrap();
    let present = rest.0;
    let bucket = |bucket| Read { bytes: present.len(), said: Said::Bucket(bucket) };
    let is_metadata = |address: &[u8]| match <[u8; 4]>::try_from(address) {
        Ok(address) => Ipv4Addr::from(address) == Ipv4Addr::new(169, 254, 169, 254),
        Err(_) => address == "fd00:ec2::254".parse::<Ipv6Addr>().unwrap().octets(),
    };
    let (internet, destination) = match ether_type {
        0x0806 => return bucket(Bucket::Arp),
        0x0800 => (ipv4(present), present.get(16..20)),
        0x86dd => (ipv6(present), present.get(24..40)),
        _ => return bucket(Bucket::NotIp),
    };
    // Whatever else is wrong with it.
    if direction == Direction::Egress && destination.is_some_and(is_metadata) {
        return bucket(Bucket::InstanceMetadata);
    }
    match internet.and_then(|internet| Some((transport(&internet)?, internet))) {
        None => bucket(Bucket::Malformed),
        Some(((ports, flags, message), internet)) => Read {
            bytes: internet.length,
            said: Said::Packet(Packet {
                tuple: Tuple {
                    direction,
                    source: internet.source,
                    destination: internet.destination,
                    protocol: internet.protocol,
                    ports,
                },
                flags,
                message,
                fragment: internet.fragment,
                payload: internet.payload,
            }),
        },
    }
}

fn ipv4(present: &[u8]) -> Option<Internet> {
    let mut rest = Rest(present);
    let first = rest.octet()?;
    rest.take(1)?;
    let length = rest.number(2)?;
    let identification = u32::try_from(rest.number(2)?).ok()?;
    let fragment = rest.number(2)?;
    let (offset, more) = (fragment % (1 << 13), fragment >> 13 & 1 == 1);
    let time_to_live = rest.octet()?;
    let protocol = rest.octet()?;
    rest.take(2)?;
    let source = Ipv4Addr::from(<[u8; 4]>::try_from(rest.take(4)?).ok()?);
    let destination = Ipv4Addr::from(<[u8; 4]>::try_from(rest.take(4)?).ok()?);
    let words = usize::from(first % 16);
    let payload = present.get(..length)?.get(words * 4..)?;
    let passes = time_to_live != 0 && options_pass(present.get(20..words * 4)?);
    (first / 16 == 4 && words >= 5 && passes).then(|| Internet {
        source: source.into(),
        destination: destination.into(),
        protocol,
        length,
        fragment: (more || offset != 0).then_some(Fragment { identification, is_first: offset == 0 }),
        payload: payload.to_vec(),
    })
}

/// Whether the options of an IPv4 header fit, and none is a source route (RFC 791).
fn options_pass(mut options: &[u8]) -> bool {
    loop {
        match options {
            [] | [0, ..] => return true,
            [1, rest @ ..] => options = rest,
            [131 | 137, ..] | [_] => return false,
            [_, length, ..] => match options.get(usize::from(*length)..) {
                Some(rest) if *length >= 2 => options = rest,
                _ => return false,
            },
        }
    }
}

fn ipv6(present: &[u8]) -> Option<Internet> {
    let mut rest = Rest(present);
    let version = rest.octet()? / 16;
    rest.take(3)?;
    let stated = rest.number(2)?;
    let mut next = rest.octet()?;
    let hop_limit = rest.octet()?;
    let source = Ipv6Addr::from(<[u8; 16]>::try_from(rest.take(16)?).ok()?);
    let destination = Ipv6Addr::from(<[u8; 16]>::try_from(rest.take(16)?).ok()?);
    // A jumbogram states its length in an option of the first header (RFC 2675).
    let jumbo = stated == 0 && next == 0;
    if version != 6 || hop_limit == 0 || jumbo && rest.0.get(2) != Some(&0xc2) {
        return None;
    }
    let stated = if jumbo { rest.0.len() } else { stated };
    let mut rest = Rest(rest.0.get(..stated)?);
    let mut fragment: Option<Fragment> = None;
    let mut headers = 0;
    while fragment.is_none_or(|fragment| fragment.is_first) && [0, 43, 44, 51, 60].contains(&next) {
        headers += 1;
        let mut header = Rest(rest.0);
        let (following, length) = (header.octet()?, header.number(1)?);
        if next == 44 {
            let word = header.number(2)?;
            let identification = u32::try_from(header.number(4)?).ok()?;
            if word / 8 != 0 || word % 2 == 1 {
                fragment = Some(Fragment { identification, is_first: word / 8 == 0 });
            }
        }
        rest.take(match next {
            44 => 8,
            51 => length * 4 + 8,
            _ => length * 8 + 8,
        })?;
        next = following;
    }
    (headers <= 8).then(|| Internet {
        source: source.into(),
        destination: destination.into(),
        protocol: next,
        length: 40 + stated,
        fragment,
        payload: rest.0.to_vec(),
    })
}

/// Ports, flags as flow logs have them, and the type of an ICMP message.
fn transport(internet: &Internet) -> Option<((u16, u16), u8, Option<u8>)> {
    let payload = &internet.payload;
    if internet.fragment.is_some_and(|fragment| !fragment.is_first) {
        return Some(((0, 0), 0, None));
    }
    let port = |at: usize| u16::from_be_bytes([payload[at], payload[at + 1]]);
    let longer_than = |length: usize| (payload.len() >= length).then_some(());
    match (internet.protocol, internet.source.is_ipv6()) {
        (6, _) => {
            longer_than(20)?;
            let header = usize::from(payload[12] / 16) * 4;
            longer_than(header)?;
            let on = |bit: u8| payload[13] >> bit & 1;
            let (fin, syn, rst, ack) = (on(0), on(1), on(2), on(4));
            let flags = fin + 2 * syn + 4 * rst + 16 * (syn & ack);
            (header >= 20).then_some(((port(0), port(2)), flags, None))
        }
        (17, _) => longer_than(8).map(|()| ((port(0), port(2)), 0, None)),
        (132, _) => longer_than(12).map(|()| ((0, 0), 0, None)),
        (1, false) => longer_than(8).map(|()| ((0, 0), 0, Some(payload[0]))),
        (58, true) => longer_than(4).map(|()| ((0, 0), 0, Some(payload[0]))),
        _ => Some(((0, 0), 0, None)),
    }
}
