//! From a frame to what it counts as.

use core::mem::{offset_of, transmute};

use aya_ebpf::bindings::__sk_buff;
use enid_abi::{Bucket, Count, Direction, Family, FlowKey};

use crate::bytes::{Anywhere, Bytes, Header as _, Linear};
use crate::case::case;
use crate::skb::Skb;
use crate::transport::Transport;
use crate::{ipv4, ipv6};

/// Bytes of an Ethernet header.
pub const ETHERNET: u32 = 14;

/// An IP packet, as far as its ENI is concerned.
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
    /// Where in the frame what follows the IP headers is.
    pub transport: u32,
    /// What its fragments have in common, if it is one.
    pub identification: u32,
    /// What rules select by: of TCP and UDP the destination port, of ICMP type × 256 + code.
    pub selector: u16,
    /// TCP flags as flow logs define them.
    pub tcp_flags: u8,
    /// Whether it is for its bucket rather than for a flow: see [`Packet::bucket`].
    pub bucket: u8,
    /// A [`Fragment`].
    pub fragment: u8,
    /// Whether it can't be known by its flow alone what becomes of it.
    pub is_rare: bool,
}

/// Whether a packet is a fragment.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Fragment {
    /// It is whole.
    None = 0,
    /// The first, which has the ports.
    First = 1,
    /// A later one.
    Later = 2,
    /// A later one whose first was not seen.
    Unknown = 3,
}

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

impl Packet {
    /// Whether it is ICMP of its family.
    #[inline(always)]
    pub fn is_icmp(&self) -> bool {
        let is_ipv4 = self.key.family == Family::Ipv4 as u8;
        self.key.protocol == if is_ipv4 { ICMP } else { ICMPV6 }
    }

    /// Whether it is TCP.
    #[inline(always)]
    pub fn is_tcp(&self) -> bool {
        self.key.protocol == TCP
    }

    /// Whether it is UDP.
    #[inline(always)]
    pub fn is_udp(&self) -> bool {
        self.key.protocol == UDP
    }

    /// Whether its protocol has ports.
    #[inline(always)]
    pub fn has_ports(&self) -> bool {
        self.is_tcp() || self.is_udp()
    }

    /// Whether it is sent by the task.
    #[inline(always)]
    pub fn is_egress(&self) -> bool {
        self.key.direction == Direction::Egress as u8
    }
}

/// [`Packet::bucket`] of a packet that belongs to a flow.
pub const FLOW: u8 = Bucket::COUNT as u8;

/// Why a frame is none that could belong to a flow.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Stop {
    /// It does not fit, or contradicts itself.
    Malformed = 1,
    /// It is neither IPv4 nor IPv6.
    NotIp = 2,
    /// It is ARP.
    Arp = 3,
    /// It is for the instance metadata service, whatever else it is.
    InstanceMetadata = 4,
    /// It takes the thorough way to tell.
    Rare = 5,
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

/// Reads a frame into `packet`, which is the case's; says why where it can't.
#[inline(always)]
pub fn read(skb: Skb, direction: Direction, packet: &mut Packet) -> Result<(), Stop> {
    match frame(&Linear::new(skb), skb, direction) {
        Ok(read) => {
            *packet = read;
            Ok(())
        }
        Err(Stop::Rare) => match read_thoroughly(skb.as_ptr(), direction as u32) {
            0 => Ok(()),
            1 => Err(Stop::Malformed),
            2 => Err(Stop::NotIp),
            3 => Err(Stop::Arp),
            _ => Err(Stop::InstanceMetadata),
        },
        Err(stop) => Err(stop),
    }
}

/// The thorough way to read a frame into the case's packet. Returns 0, or the number of the [`Stop`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn read_thoroughly(context: *mut __sk_buff, direction: u32) -> u32 {
    let skb = Skb::from_context(context);
    let Some(case) = case() else {
        return Stop::Malformed as u32;
    };
    let direction =
        if direction == Direction::Egress as u32 { Direction::Egress } else { Direction::Ingress };
    match frame(&Anywhere::new(skb), skb, direction) {
        Ok(read) => {
            case.packet = read;
            0
        }
        Err(stop) => stop as u32,
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
    /// Where in the frame they end.
    pub end: u32,
    /// The bucket for packets with such addresses.
    pub bucket: Option<Bucket>,
    /// Whether it is a fragment.
    pub fragment: Fragment,
    /// What the fragments of a datagram have in common.
    pub identification: u32,
}

impl Internet {
    /// The packet with these IP headers, followed by this.
    #[inline(always)]
    pub fn with(self, eni: u32, direction: Direction, transport: Transport) -> Packet {
        Packet {
            key: self.key(eni, direction, transport.ports),
            length: self.length,
            headers: self.headers + transport.headers,
            transport: self.end,
            identification: self.identification,
            selector: transport.selector,
            tcp_flags: transport.tcp_flags,
            fragment: self.fragment as u8,
            is_rare: transport.is_rare || self.fragment as u8 != Fragment::None as u8,
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
