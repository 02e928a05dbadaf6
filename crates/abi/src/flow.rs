//! Flow entries.

#![allow(clippy::inline_always, reason = "a call costs a program more than what these do")]

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

impl FlowKey {
    /// The ENI whose share of the table an entry with this key and [other end](FlowValue::peer) takes: the one that sends,
    /// where that is of this host. Nobody is to fill another's.
    #[inline(always)]
    pub const fn payer(&self, peer: u32) -> u32 {
        if self.direction == Direction::Ingress as u8 && peer != 0 { peer } else { self.eni }
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

/// A flow entry: one direction of a connection.
///
/// Intervals take its windows in turn, so that what user space reads after it has begun a new interval (and has
/// waited until no program is left in the old one) is the old one's, whole and at rest.
///
/// An entry that delivers straight into another ENI of this host stands for two flows, the sender's egress and the
/// receiver's ingress: every packet that it counts has gone through both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct FlowValue {
    /// The ENI of this host at its other end: of egress the one that it leads to, of ingress the one that it comes from. 0
    /// if it is none: the router, or somewhere outside. It never changes.
    pub peer: u32,
    /// The policy epoch that it was allowed in; 0 if the next packet is to be looked at again in any case.
    pub epoch: u32,
    /// After how long without a packet it is to be looked at again.
    pub idle: Tick,
    /// After how long without a packet it has expired.
    pub keep: Tick,
    /// A [`Phase`](crate::Phase).
    pub phase: u8,
    /// The number of the traffic class.
    pub class: u8,
    /// The number of the traffic class that the receiver has for it.
    pub target_class: u8,
    /// Bits of [`FlowValue::UNTRACKED_OWN`] and its like.
    pub bits: u8,
    /// When `keep` was set. It counts from then on: an entry never expires by a moment that is past already.
    pub changed: Tick,
    /// By [`Interval::window`].
    pub windows: [Window; 2],
}

// SAFETY: `#[repr(C)]`, 24 bytes of integers without gaps and 64 bytes of windows.
unsafe impl Plain for FlowValue {}

impl FlowValue {
    /// The ENI whose program made the entry does not track it: rules allow it both ways and everywhere.
    pub const UNTRACKED_OWN: u8 = 1;
    /// Nor does the ENI that it is delivered to.
    pub const UNTRACKED_TARGET: u8 = 2;
    /// This side has finished (TCP FIN).
    pub const FINISHED: u8 = 4;
    /// This side has reset the connection (TCP RST).
    pub const RESET: u8 = 8;
    /// The flow answers another: the other side began.
    pub const ANSWER: u8 = 16;
    /// An ICMP request was seen, so that a reply may come.
    pub const REQUESTED: u8 = 32;
    /// Its packets take the kernel's way, although its other end is an ENI of this host. It never changes.
    pub const ROUTED: u8 = 64;

    /// The ENI that its packets are delivered to; 0 if they take the kernel's way.
    #[inline(always)]
    pub const fn target(&self) -> u32 {
        if self.bits & Self::ROUTED == 0 { self.peer } else { 0 }
    }

    /// When the last packet came.
    #[inline(always)]
    pub const fn last(&self) -> Tick {
        let [even, odd] = &self.windows;
        if odd.mark().interval().since(even.mark().interval()) <= Interval::LAST.number() / 2 {
            odd.last
        } else {
            even.last
        }
    }

    /// Whether the entry has expired: no packet for the time that it is kept, when the interval began.
    ///
    /// A program leaves an expired entry alone, and counts in the flow's other generation. That is what makes it
    /// safe to delete: were a program to add to an entry that user space removes, the packet would be counted
    /// nowhere. Once every program has the same beginning, none will ever write to an entry that has expired by it.
    #[inline(always)]
    pub const fn is_expired(&self, began: Tick) -> bool {
        let last = self.last();
        is_over(began, if is_over(self.changed, last, 0) { self.changed } else { last }, self.keep)
    }
}

/// Whether more time than `limit` has passed from `last` to `now`. A `last` later than `now` is of another CPU.
#[inline(always)]
#[allow(
    clippy::cast_possible_wrap,
    reason = "ticks wrap: a difference of more than half is one back in time"
)]
pub const fn is_over(now: Tick, last: Tick, limit: Tick) -> bool {
    now.wrapping_sub(last) as i32 > limit as i32
}

/// What makes a refusal: the flow that the packets would have belonged to, and the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(C)]
pub struct RefusalKey {
    /// The flow.
    pub flow: FlowKey,
    /// A [`Reason`](crate::Reason).
    pub reason: u8,
    /// Zero.
    pub reserved: [u8; 3],
}

// SAFETY: `#[repr(C)]`, 44 bytes without gaps and four single bytes.
unsafe impl Plain for RefusalKey {}

/// Refused packets of one flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct RefusalValue {
    /// The ENI that refused them; 0 if it is the flow's own. If it is another, the flow's own ENI has let them through:
    /// accepted for one, refused for the other.
    pub target: u32,
    /// The number of the traffic class.
    pub class: u8,
    /// Zero.
    pub reserved: [u8; 3],
    /// By [`Interval::window`].
    pub windows: [Window; 2],
}

// SAFETY: `#[repr(C)]`, 8 bytes without gaps and 64 bytes of windows.
unsafe impl Plain for RefusalValue {}

impl RefusalValue {
    /// Whether the entry has expired: no packet for a whole interval. See [`FlowValue::is_expired`].
    #[inline(always)]
    pub const fn is_expired(&self, now: Interval) -> bool {
        let [even, odd] = &self.windows;
        now.since(even.mark().interval()) > 1 && now.since(odd.mark().interval()) > 1
    }
}

/// The fragments of one datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(C)]
pub struct FragmentKey {
    /// The source address.
    pub source: [u64; 2],
    /// The destination address.
    pub destination: [u64; 2],
    /// The ENI's number.
    pub eni: u32,
    /// The datagram's identification.
    pub identification: u32,
    /// The protocol.
    pub protocol: u8,
    /// A [`Direction`].
    pub direction: u8,
    /// Zero.
    pub reserved: [u8; 6],
}

// SAFETY: `#[repr(C)]`, words, two integers and 8 single bytes.
unsafe impl Plain for FragmentKey {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_what_the_kernel_was_told() {
        assert_eq!(size_of::<FlowKey>(), 44);
        assert_eq!(size_of::<Window>(), 32);
        // Together with the kernel's own 48 bytes and the key, what an allocation of 192 has room for.
        assert_eq!(size_of::<FlowValue>(), 88);
        assert_eq!(size_of::<RefusalKey>(), 48);
        assert_eq!(size_of::<RefusalValue>(), 72);
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
    fn an_entry_expires_by_the_time_it_is_kept() {
        let mut value = FlowValue { keep: 100, ..FlowValue::default() };
        value.windows[1].mark = Mark::new(Interval::new(5), 0, 0).bits();
        value.windows[1].last = 1000;
        value.windows[0].mark = Mark::new(Interval::new(4), 0, 0).bits();
        value.windows[0].last = 900;
        assert_eq!(value.last(), 1000);
        assert!(!value.is_expired(990));
        assert!(!value.is_expired(1100));
        assert!(value.is_expired(1101));
        value.windows[0].mark = Mark::new(Interval::new(6), 0, 0).bits();
        assert_eq!(value.last(), 900);
    }

    #[test]
    fn a_refusal_expires_after_an_idle_interval() {
        let mut value = RefusalValue::default();
        value.windows[1].mark = Mark::new(Interval::new(5), 0, 0).bits();
        assert!(!value.is_expired(Interval::new(5)));
        assert!(!value.is_expired(Interval::new(6)));
        assert!(value.is_expired(Interval::new(7)));
    }

    #[test]
    fn time_wraps() {
        assert!(!is_over(5, 10, 3));
        assert!(is_over(5, u32::MAX, 3));
        assert!(!is_over(5, u32::MAX, 6));
    }
}
