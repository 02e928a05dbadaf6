//! Flow entries.

use crate::{Interval, Plain, Tick};

/// Which way a packet goes, as the ENI sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Direction {
    /// The task sends.
    Egress = 0,
    /// It arrives for the task.
    Ingress = 1,
}

impl Direction {
    /// The word that flow records use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Egress => "egress",
            Self::Ingress => "ingress",
        }
    }

    /// The other way.
    #[must_use]
    #[inline]
    pub const fn reverse(self) -> Self {
        match self {
            Self::Egress => Self::Ingress,
            Self::Ingress => Self::Egress,
        }
    }
}

/// The address family of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Family {
    /// IPv4, its addresses mapped into IPv6 (RFC 4291, 2.5.5.2).
    Ipv4 = 4,
    /// IPv6.
    Ipv6 = 6,
}

/// What makes a flow: the 5-tuple, the ENI and the direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(C)]
pub struct FlowKey {
    /// The source address; IPv4 is mapped into IPv6.
    pub source: [u8; 16],
    /// The destination address; IPv4 is mapped into IPv6.
    pub destination: [u8; 16],
    /// The ENI's number.
    pub eni: u32,
    /// The source port in host order; 0 where the protocol has none, and in all fragments but the first.
    pub source_port: u16,
    /// The destination port, likewise.
    pub destination_port: u16,
    /// The protocol (IANA), after IPv6 extension headers.
    pub protocol: u8,
    /// A [`Direction`].
    pub direction: u8,
    /// A [`Family`]: an IPv6 packet may carry a mapped address too.
    pub family: u8,
    /// 0 or 1: two entries of one flow can stand side by side, see [`FlowValue::is_expired`].
    pub generation: u8,
}

// SAFETY: `#[repr(C)]`; 32 bytes, then integers that leave no gap: 4, 2, 2 and four single bytes.
unsafe impl Plain for FlowKey {}

impl FlowKey {
    /// The key of the packets that answer this flow's.
    #[must_use]
    #[inline]
    pub const fn reverse(&self) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
            source_port: self.destination_port,
            destination_port: self.source_port,
            direction: self.direction ^ 1,
            ..*self
        }
    }
}

/// TCP flags as flow logs define them, OR'ed over an interval. ACK and PSH alone are 0.
pub struct TcpFlags;

impl TcpFlags {
    /// FIN.
    pub const FIN: u8 = 1;
    /// SYN.
    pub const SYN: u8 = 2;
    /// RST.
    pub const RST: u8 = 4;
    /// SYN together with ACK.
    pub const SYN_ACK: u8 = 18;
    const ACK_ON_WIRE: u8 = 16;

    /// The flags of a packet whose TCP header has this byte of flags (RFC 9293: byte 13).
    #[inline]
    pub const fn from_wire(byte: u8) -> u8 {
        let flags = byte & (Self::FIN | Self::SYN | Self::RST);
        if byte & Self::SYN != 0 { flags | byte & Self::ACK_ON_WIRE } else { flags }
    }
}

/// When a window was begun and what flags it has seen, in one word so that both change in one step:
/// interval (24 bits), TCP flags (8), first packet (32, a [`Tick`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(transparent)]
pub struct Mark(u64);

impl Mark {
    /// A window that begins.
    #[inline]
    pub const fn new(interval: Interval, flags: u8, first: Tick) -> Self {
        Self((interval.number() as u64) << 40 | (flags as u64) << 32 | first as u64)
    }

    /// The mark with these bits.
    #[inline]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Its bits.
    #[inline]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The bits to OR into a mark to add flags.
    #[inline]
    pub const fn flag_bits(flags: u8) -> u64 {
        (flags as u64) << 32
    }

    /// The interval that the window belongs to; number 0 where it was never used.
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "24 bits are left")]
    pub const fn interval(self) -> Interval {
        Interval::new((self.0 >> 40) as u32)
    }

    /// The flags that its packets had.
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "these 8 bits are meant")]
    pub const fn flags(self) -> u8 {
        (self.0 >> 32) as u8
    }

    /// When its first packet came.
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "these 32 bits are meant")]
    pub const fn first(self) -> Tick {
        self.0 as Tick
    }
}

/// The counters of one flow for every other interval.
///
/// Packets and bytes only grow: user space exports differences. They change by atomic additions, and the mark by
/// compare-and-exchange, since several CPUs may meet on a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Window {
    /// Packets on the wire.
    pub packets: u64,
    /// Layer-3 bytes.
    pub bytes: u64,
    /// A [`Mark`].
    pub mark: u64,
    /// When the last packet came.
    pub last: Tick,
    /// Zero.
    pub reserved: u32,
}

// SAFETY: `#[repr(C)]`, integers without gaps.
unsafe impl Plain for Window {}

impl Window {
    /// The mark.
    #[inline]
    pub const fn mark(&self) -> Mark {
        Mark::from_bits(self.mark)
    }
}

/// A flow entry.
///
/// Intervals take its windows in turn, so that what user space reads after it has begun a new interval (and has
/// waited until no program is left in the old one) is the old one's, whole and at rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct FlowValue {
    /// By [`Interval::window`].
    pub windows: [Window; 2],
    /// The number of the traffic class.
    pub class: u8,
    /// Zero.
    pub reserved: [u8; 7],
}

// SAFETY: `#[repr(C)]`, 64 bytes of windows and 8 single bytes.
unsafe impl Plain for FlowValue {}

/// After how many intervals without a packet an entry has expired.
pub const EXPIRY_INTERVALS: u32 = 2;

impl FlowValue {
    /// Whether the entry has expired: no packet for [`EXPIRY_INTERVALS`] whole intervals.
    ///
    /// A program leaves an expired entry alone, and counts in the flow's other generation. That is what makes it
    /// safe to delete: were a program to add to an entry that user space removes, the packet would be counted
    /// nowhere. Marks and the interval only grow, so once user space finds an entry expired in an interval that
    /// every program has reached, no program will ever write to it again.
    #[inline]
    #[allow(clippy::indexing_slicing, reason = "a window is 0 or 1")]
    pub const fn is_expired(&self, now: Interval) -> bool {
        now.since(self.windows[0].mark().interval()) > EXPIRY_INTERVALS
            && now.since(self.windows[1].mark().interval()) > EXPIRY_INTERVALS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_what_the_kernel_was_told() {
        assert_eq!(size_of::<FlowKey>(), 44);
        assert_eq!(size_of::<Window>(), 32);
        assert_eq!(size_of::<FlowValue>(), 72);
    }

    #[test]
    fn flags_are_those_of_flow_logs() {
        for (wire, flags) in [
            (0x10, 0),
            (0x18, 0),
            (0x02, 2),
            (0x12, 18),
            (0x11, 1),
            (0x14, 4),
            (0x13, 19),
            (0xc2, 2),
            (0x29, 1),
        ] {
            assert_eq!(TcpFlags::from_wire(wire), flags, "{wire:#x}");
        }
    }

    #[test]
    fn a_mark_keeps_its_parts_apart() {
        let mark = Mark::new(Interval::LAST, 19, u32::MAX - 1);
        assert_eq!(mark.interval(), Interval::LAST);
        assert_eq!(mark.flags(), 19);
        assert_eq!(mark.first(), u32::MAX - 1);
        let more = Mark::from_bits(Mark::new(Interval::FIRST, 2, 7).bits() | Mark::flag_bits(5));
        assert_eq!((more.interval(), more.flags(), more.first()), (Interval::FIRST, 7, 7));
    }

    #[test]
    fn reverse_twice_is_the_same() {
        let key = FlowKey {
            source: [1; 16],
            destination: [2; 16],
            eni: 1_000_000,
            source_port: 1,
            destination_port: 2,
            protocol: 6,
            direction: Direction::Ingress as u8,
            family: Family::Ipv4 as u8,
            generation: 0,
        };
        assert_eq!(key.reverse().reverse(), key);
        assert_eq!(key.reverse().source, key.destination);
        assert_eq!(key.reverse().direction, Direction::Egress as u8);
    }

    #[test]
    fn an_entry_expires_after_idle_intervals() {
        let mut value = FlowValue::default();
        value.windows[1].mark = Mark::new(Interval::new(5), 0, 0).bits();
        value.windows[0].mark = Mark::new(Interval::new(4), 0, 0).bits();
        assert!(!value.is_expired(Interval::new(5)));
        assert!(!value.is_expired(Interval::new(7)));
        assert!(value.is_expired(Interval::new(8)));
    }
}
