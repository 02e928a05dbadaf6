//! What follows the IP headers: ports, TCP flags, neighbour discovery.

use enid_abi::{Bucket, Family, TcpFlags};

use crate::bytes::{Bytes, Header};
use crate::packet::Stop;

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
const SCTP: u8 = 132;

/// What the header after the IP headers says.
#[derive(Clone, Copy)]
pub struct Transport {
    /// The source port, and the destination port above it, in host order; 0 where the protocol has none.
    pub ports: u32,
    /// What rules select by: the destination port, or ICMP type × 256 + code.
    pub selector: u16,
    /// As flow logs define them.
    pub tcp_flags: u8,
    /// Whether the flow's state changes with it, or is no answer to what becomes of it.
    pub is_rare: bool,
    /// Bytes of the header, where a buffer of the protocol may be segmented.
    pub headers: u32,
    /// The bucket for such packets.
    pub bucket: Option<Bucket>,
}

impl Transport {
    /// Nothing is known: the packet is a later fragment, or of another protocol.
    pub const NONE: Self =
        Self { ports: 0, selector: 0, tcp_flags: 0, is_rare: false, headers: 0, bucket: None };

    /// Reads the header at `offset` of the frame, with `length` bytes from there to the end of the packet.
    #[inline(always)]
    pub fn read(
        bytes: &impl Bytes,
        protocol: u8,
        family: Family,
        offset: u32,
        length: u32,
    ) -> Result<Self, Stop> {
        match protocol {
            TCP => {
                // RFC 9293: ports, two numbers, then the length in words and the flags.
                let header = fitting(length, 20, || bytes.header::<14>(offset))?;
                let own = u32::from(header.octet::<12>() >> 4) * 4;
                if own < 20 || own > length {
                    return Err(Stop::Malformed);
                }
                let tcp_flags = TcpFlags::from_wire(header.octet::<13>());
                Ok(Self { tcp_flags, is_rare: tcp_flags != 0, ..Self::with_ports(&header, own) })
            }
            UDP => {
                let header = fitting(length, 8, || bytes.header::<4>(offset))?;
                Ok(Self::with_ports(&header, 8))
            }
            SCTP => fitting(length, 12, || Ok(Self { headers: 12, ..Self::NONE })),
            ICMP if family as u8 == Family::Ipv4 as u8 => {
                let header = fitting(length, 8, || bytes.header::<4>(offset))?;
                Ok(Self { selector: header.short::<0>(), is_rare: true, ..Self::NONE })
            }
            ICMPV6 if family as u8 == Family::Ipv6 as u8 => {
                let header = fitting(length, 4, || bytes.header::<4>(offset))?;
                let is_discovery = matches!(header.octet::<0>(), 130..=137 | 143);
                Ok(Self {
                    selector: header.short::<0>(),
                    is_rare: true,
                    bucket: is_discovery.then_some(Bucket::NeighborDiscovery),
                    ..Self::NONE
                })
            }
            _ => Ok(Self::NONE),
        }
    }

    #[inline(always)]
    fn with_ports(header: &impl Header, headers: u32) -> Self {
        // Both at once: the source port is above, as the network has it.
        let ports = u32::from_be(header.word::<0>()).rotate_left(16);
        Self { ports, selector: (ports >> 16) as u16, headers, ..Self::NONE }
    }
}

#[inline(always)]
fn fitting<T>(length: u32, needed: u32, header: impl FnOnce() -> Result<T, Stop>) -> Result<T, Stop> {
    if length < needed {
        return Err(Stop::Malformed);
    }
    header()
}
