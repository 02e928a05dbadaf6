//! From a frame to what it counts as.

use core::mem::{MaybeUninit, offset_of, transmute};

use enid_abi::{Bucket, Count, Direction, Family, FlowKey};

use crate::bytes::{Anywhere, Bytes, Header as _, Linear};
use crate::skb::Skb;
use crate::transport::Transport;
use crate::{ipv4, ipv6};

/// Bytes of an Ethernet header.
pub const ETHERNET: u32 = 14;

/// An IP packet, as far as accounting is concerned.
// Aligned so that the key is written in words of 8 bytes.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub struct Packet {
    /// The flow it belongs to.
    pub key: FlowKey,
    /// Its length from the IP header on.
    pub length: u32,
    /// How much of that is headers that each segment of it repeats.
    pub headers: u32,
    /// TCP flags as flow logs define them.
    pub tcp_flags: u8,
    /// Whether it is for its bucket rather than for a flow: see [`Packet::bucket`].
    pub bucket: u8,
}

/// [`Packet::bucket`] of a packet that belongs to a flow.
pub const FLOW: u8 = Bucket::COUNT as u8;

/// Why a frame is none that could belong to a flow.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Stop {
    /// It takes the thorough way to tell.
    Rare,
    /// It does not fit, or contradicts itself.
    Malformed,
    /// It is neither IPv4 nor IPv6.
    NotIp,
    /// It is ARP.
    Arp,
    /// It is for the instance metadata service, whatever else it is.
    InstanceMetadata,
}

impl Stop {
    /// The bucket to count the frame in.
    #[inline(always)]
    pub fn bucket(self) -> Bucket {
        match self {
            Self::Rare | Self::Malformed => Bucket::Malformed,
            Self::NotIp => Bucket::NotIp,
            Self::Arp => Bucket::Arp,
            Self::InstanceMetadata => Bucket::InstanceMetadata,
        }
    }
}

/// Reads a frame into `packet`; says why where it can't.
#[inline(always)]
pub fn read(skb: Skb, direction: Direction, packet: &mut MaybeUninit<Packet>) -> Result<(), Stop> {
    match frame(&Linear::new(skb), skb, direction) {
        Ok(read) => {
            packet.write(read);
            Ok(())
        }
        Err(Stop::Rare) => match read_thoroughly(skb, direction, packet) {
            None => Ok(()),
            Some(stop) => Err(stop),
        },
        Err(stop) => Err(stop),
    }
}

/// The thorough way. It is long, so it is a function of its own.
#[inline(never)]
fn read_thoroughly(skb: Skb, direction: Direction, packet: &mut MaybeUninit<Packet>) -> Option<Stop> {
    match frame(&Anywhere::new(skb), skb, direction) {
        Ok(read) => {
            packet.write(read);
            None
        }
        Err(stop) => Some(stop),
    }
}

#[inline(always)]
fn frame(bytes: &impl Bytes, skb: Skb, direction: Direction) -> Result<Packet, Stop> {
    const IPV4: u16 = 0x0800;
    const IPV6: u16 = 0x86dd;
    const ARP: u16 = 0x0806;

    if skb.vlan_present() != 0 {
        return Err(Stop::NotIp);
    }
    let header = bytes.header::<{ ETHERNET as usize }>(0)?;
    match header.short::<12>() {
        IPV4 => ipv4::read(bytes, skb, direction),
        IPV6 => ipv6::read(bytes, skb, direction),
        ARP => Err(Stop::Arp),
        _ => Err(Stop::NotIp),
    }
}

/// What the IP headers say.
pub struct Internet {
    /// The address family.
    pub family: Family,
    /// The source, or it mapped into IPv6, in network order.
    pub source: [u64; 2],
    /// The destination, likewise.
    pub destination: [u64; 2],
    /// The protocol.
    pub protocol: u8,
    /// Bytes from the IP header on.
    pub length: u32,
    /// Bytes of IP headers.
    pub headers: u32,
    /// The bucket for packets with such addresses.
    pub bucket: Option<Bucket>,
}

impl Internet {
    /// The packet with these IP headers, followed by this.
    #[inline(always)]
    pub fn with(self, eni: u32, direction: Direction, transport: Transport) -> Packet {
        Packet {
            key: self.key(eni, direction, transport.ports),
            length: self.length,
            headers: self.headers + transport.headers,
            tcp_flags: transport.tcp_flags,
            bucket: self.bucket.or(transport.bucket).map_or(FLOW, |bucket| bucket as u8),
        }
    }

    /// The key, put together in registers and stored in the words that the kernel will load to hash and compare it:
    /// a load that spans several earlier stores stalls until they have all reached the cache, 10 ns each.
    #[inline(always)]
    fn key(&self, eni: u32, direction: Direction, ports: u32) -> FlowKey {
        #[repr(C, packed(4))]
        struct Words {
            addresses: [u64; 4],
            eni_and_ports: u64,
            rest: u32,
        }
        const {
            assert!(offset_of!(FlowKey, eni) == 32 && offset_of!(FlowKey, source_port) == 36);
            assert!(offset_of!(FlowKey, destination_port) == 38 && offset_of!(FlowKey, protocol) == 40);
            assert!(offset_of!(FlowKey, direction) == 41 && offset_of!(FlowKey, family) == 42);
        }
        let words = Words {
            addresses: [self.source[0], self.source[1], self.destination[0], self.destination[1]],
            eni_and_ports: u64::from(eni) | u64::from(ports) << 32,
            rest: u32::from(self.protocol) | (direction as u32) << 8 | (self.family as u32) << 16,
        };
        // SAFETY: both are 44 bytes of integers.
        unsafe { transmute(words) }
    }
}

/// Packets and layer-3 bytes on the wire of a buffer with this much from the IP header on and these headers in each
/// of its segments.
#[inline(always)]
pub fn on_the_wire(skb: Skb, length: u32, headers: u32) -> Count {
    let size = skb.gso_size();
    if size == 0 {
        return Count { packets: 1, bytes: u64::from(length) };
    }
    let segments = match skb.gso_segs() {
        // A virtual machine's tap does not say; the kernel divides too.
        0 => length.saturating_sub(headers).div_ceil(size).max(1),
        segments => segments,
    };
    Count {
        packets: u64::from(segments),
        bytes: u64::from(length) + u64::from(segments - 1) * u64::from(headers),
    }
}
