//! IPv4 (RFC 791).

use aya_ebpf::bindings::__sk_buff;
use enid_abi::{Bucket, Direction, Family};

use crate::bytes::{Anywhere, Bytes, Header as _, rare_for};
use crate::packet::{ETHERNET, Fragment, Internet, Packet, Stop};
use crate::skb::Skb;
use crate::transport::Transport;

const LINK_LOCAL: u32 = 0xa9fe_0000;
const LINK_LOCAL_MASK: u32 = 0xffff_0000;
const INSTANCE_METADATA: u32 = 0xa9fe_a9fe;
const FRAGMENT_OFFSET: u16 = 0x1fff;
const MORE_FRAGMENTS: u16 = 0x2000;

/// Reads a packet from its IPv4 header on.
#[inline(always)]
pub fn read(bytes: &impl Bytes, skb: Skb, direction: Direction) -> Result<Packet, Stop> {
    let header = bytes.header::<20>(ETHERNET)?;
    let (source, destination) = (header.word::<12>(), header.word::<16>());
    if direction as u8 == Direction::Egress as u8 && destination == INSTANCE_METADATA.to_be() {
        return Err(Stop::InstanceMetadata);
    }

    let version_and_words = header.octet::<0>();
    let own = u32::from(version_and_words & 0xf) * 4;
    if version_and_words >> 4 != 4 || own < 20 || header.octet::<8>() == 0 {
        return Err(Stop::Malformed);
    }
    let present = skb.len().wrapping_sub(ETHERNET);
    let length = match u32::from(header.short::<2>()) {
        // A segmented buffer of more than 65,535 bytes (BIG TCP, Linux 6.3) can't state its length here.
        0 if skb.gso_size() != 0 => present,
        length => length,
    };
    if length < own || length > present {
        return Err(Stop::Malformed);
    }

    if own > 20 {
        rare_for(bytes)?;
        if options_pass(skb.as_ptr(), own) == 0 {
            return Err(Stop::Malformed);
        }
    }

    let fragment = match header.short::<6>() {
        word if word & FRAGMENT_OFFSET != 0 => Fragment::Later,
        word if word & MORE_FRAGMENTS != 0 => Fragment::First,
        _ => Fragment::None,
    };
    // What a task sends to such an address would reach nobody; what comes from one is for the rules to judge.
    let stays = direction as u8 == Direction::Egress as u8 && is_link_local(destination);
    let internet = Internet {
        family: Family::Ipv4,
        source: mapped(source),
        destination: mapped(destination),
        protocol: header.octet::<9>(),
        length,
        headers: own,
        end: ETHERNET + own,
        bucket: stays.then_some(Bucket::LinkLocal),
        fragment,
        identification: u32::from(header.short::<4>()),
    };
    let transport = if fragment as u8 != Fragment::Later as u8 {
        Transport::read(bytes, internet.protocol, Family::Ipv4, ETHERNET + own, length - own)?
    } else {
        Transport::NONE
    };
    Ok(internet.with(skb.ifindex(), direction, transport))
}

/// Whether the options of a header of so many bytes fit into it and none is a source route, which no router of today
/// follows (RFC 7126): 1 or 0.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn options_pass(context: *mut __sk_buff, own: u32) -> u32 {
    const END: u8 = 0;
    const NO_OPERATION: u8 = 1;
    const LOOSE_SOURCE_ROUTE: u8 = 131;
    const STRICT_SOURCE_ROUTE: u8 = 137;
    const MOST: u32 = 40;
    let bytes = Anywhere::new(Skb::from_context(context));
    let mut at = 20;
    for _ in 0..MOST {
        if at >= own {
            break;
        }
        let Ok(option) = bytes.header::<1>(ETHERNET + at) else {
            return 0;
        };
        match option.octet::<0>() {
            END => return 1,
            NO_OPERATION => {
                at += 1;
                continue;
            }
            LOOSE_SOURCE_ROUTE | STRICT_SOURCE_ROUTE => return 0,
            _ => {}
        }
        let Ok(option) = bytes.header::<1>(ETHERNET + at + 1) else {
            return 0;
        };
        let length = u32::from(option.octet::<0>());
        if length < 2 || at + length > own {
            return 0;
        }
        at += length;
    }
    1
}

#[inline(always)]
fn is_link_local(address: u32) -> bool {
    address & LINK_LOCAL_MASK.to_be() == LINK_LOCAL.to_be()
}

/// The address mapped into IPv6 (RFC 4291, 2.5.5.2), both in network order.
#[inline(always)]
pub fn mapped(address: u32) -> [u64; 2] {
    [0, u64::from(address) << 32 | 0xffff_0000]
}
