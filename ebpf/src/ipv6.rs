//! IPv6 (RFC 8200) and its extension headers.

use enid_abi::{Direction, Family};

use crate::bytes::{Bytes, Header as _, rare_for};
use crate::packet::{ETHERNET, Fragment, Internet, Packet, Stop};
use crate::skb::Skb;
use crate::transport::Transport;

const OWN: u32 = 40;
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION_OPTIONS: u8 = 60;
/// The jumbo payload option (RFC 2675), which the kernel puts into segmented buffers of more than 65,535 bytes.
const JUMBO: u8 = 0xc2;
/// Bytes of the header that holds nothing but that option.
const JUMBO_HEADER: u32 = 8;
/// Each extension header is to occur once, destination options twice, which makes six; two more are for the odd.
const LONGEST_CHAIN: usize = 8;
/// fd00:ec2::254.
const INSTANCE_METADATA: [u64; 2] = [0xfd00_0ec2_0000_0000_u64.to_be(), 0x0254_u64.to_be()];

/// Reads a packet from its IPv6 header on.
#[inline(always)]
pub fn read(bytes: &impl Bytes, skb: Skb, direction: Direction) -> Result<Packet, Stop> {
    let header = bytes.header::<{ OWN as usize }>(ETHERNET)?;
    let destination = [header.double::<24>(), header.double::<32>()];
    if direction as u8 == Direction::Egress as u8 && destination == INSTANCE_METADATA {
        return Err(Stop::InstanceMetadata);
    }

    let (payload, first) = (u32::from(header.short::<4>()), header.octet::<6>());
    let present = skb.len().wrapping_sub(ETHERNET);
    let unstated = payload == 0 && (first == HOP_BY_HOP || skb.gso_size() != 0);
    let length = if unstated { present } else { OWN + payload };
    if header.octet::<0>() >> 4 != 6 || length > present || header.octet::<7>() == 0 {
        return Err(Stop::Malformed);
    }

    let chain = if is_extension(first) {
        rare_for(bytes)?;
        walk(bytes, first, length, unstated, skb.gso_size() != 0)?
    } else {
        Chain::new(first)
    };
    let internet = Internet {
        family: Family::Ipv6,
        source: [header.double::<8>(), header.double::<16>()],
        destination,
        protocol: chain.protocol,
        length: length - chain.off_the_wire,
        headers: chain.end - chain.off_the_wire,
        end: ETHERNET + chain.end,
        bucket: None,
        fragment: chain.fragment,
        identification: chain.identification,
    };
    let transport = if chain.fragment as u8 != Fragment::Later as u8 {
        let offset = ETHERNET + chain.end;
        Transport::read(bytes, chain.protocol, Family::Ipv6, offset, length - chain.end)?
    } else {
        Transport::NONE
    };
    Ok(internet.with(skb.ifindex(), direction, transport))
}

/// A chain of extension headers, walked.
struct Chain {
    /// What comes after it.
    protocol: u8,
    /// Where it ends, from the IPv6 header on.
    end: u32,
    /// Whether it is a fragment: then the next header is there only in the first.
    fragment: Fragment,
    /// What the fragments have in common.
    identification: u32,
    /// Bytes that the kernel takes out before it sends.
    off_the_wire: u32,
}

impl Chain {
    #[inline(always)]
    fn new(first: u8) -> Self {
        Self { protocol: first, end: OWN, fragment: Fragment::None, identification: 0, off_the_wire: 0 }
    }
}

#[inline(always)]
fn is_extension(number: u8) -> bool {
    matches!(number, HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION_OPTIONS)
}

#[inline(always)]
fn walk(bytes: &impl Bytes, first: u8, length: u32, unstated: bool, segmented: bool) -> Result<Chain, Stop> {
    let mut chain = Chain::new(first);
    for _ in 0..LONGEST_CHAIN {
        if !is_extension(chain.protocol) {
            return Ok(chain);
        }
        let number = chain.protocol;
        let header = bytes.header::<4>(ETHERNET + chain.end)?;
        let units = u32::from(header.octet::<1>());
        let size = match number {
            FRAGMENT => 8,
            AUTHENTICATION => (units + 2) * 4,
            _ => (units + 1) * 8,
        };
        if number == HOP_BY_HOP && unstated {
            if header.octet::<2>() != JUMBO {
                return Err(Stop::Malformed);
            }
            if segmented && size == JUMBO_HEADER {
                chain.off_the_wire = size;
            }
        }
        chain.end += size;
        if chain.end > length {
            return Err(Stop::Malformed);
        }
        chain.protocol = header.octet::<0>();
        if number == FRAGMENT {
            let offset = header.short::<2>();
            chain.identification = bytes.header::<4>(ETHERNET + chain.end - 4)?.word::<0>();
            if offset >> 3 != 0 {
                chain.fragment = Fragment::Later;
                return Ok(chain);
            }
            // An atomic fragment (RFC 6946) is whole.
            if offset & 1 != 0 {
                chain.fragment = Fragment::First;
            }
        }
    }
    if is_extension(chain.protocol) {
        return Err(Stop::Malformed);
    }
    Ok(chain)
}
