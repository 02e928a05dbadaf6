//! Slots of ENIs.

use crate::{Address, Direction, MAX_GROUPS, ObjectId, Phase, Plain, Tick};

/// The state of an ENI's slot, as the number in the map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum EniState {
    /// Nobody's: packets are dropped, uncounted.
    Unused = 0,
    /// Packets are counted and passed on.
    Open = 1,
    /// Packets are counted as [`Bucket::Closed`](crate::Bucket::Closed) and dropped.
    Closed = 2,
}

/// What the programs know of an ENI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct EniSlot {
    /// The ENI's number, the interface index of its host end. Several numbers meet in a slot, so programs compare.
    pub number: u32,
    /// An [`EniState`].
    pub state: u32,
    /// Its MAC, and two bytes of zeroes: a program loads a word.
    pub mac: [u8; 8],
    /// Zero.
    pub padding: u32,
    /// Its MTU.
    pub mtu: u32,
    /// Its IPv4 address, mapped into IPv6; [`EniSlot::NO_ADDRESS`] if it has none.
    pub ipv4: Address,
    /// Its IPv6 address; [`EniSlot::NO_ADDRESS`] if it has none.
    pub ipv6: Address,
    /// For how long a tracked flow may be idle, by [`Phase`].
    pub idle: [Tick; Phase::COUNT],
    /// The most flow entries that it may have.
    pub flow_limit: u32,
    /// How many of its groups there are.
    pub group_count: u32,
    /// Its security groups.
    pub groups: [ObjectId; MAX_GROUPS],
    /// Zero; keeps slots in cache lines of their own.
    pub reserved: [u64; 2],
}

// SAFETY: `#[repr(C)]`: 8 bytes, 16, two addresses, 8 ticks, 8 bytes, then words: every part ends on 8 bytes.
unsafe impl Plain for EniSlot {}

impl EniSlot {
    /// No packet has this source.
    pub const NO_ADDRESS: Address = [u64::MAX; 2];

    /// Whether the slot is this ENI's, open or closed.
    pub const fn holds(&self, number: u32) -> bool {
        self.number == number && self.state != EniState::Unused as u32
    }

    /// Whether the slot is this ENI's, and open.
    pub const fn is_open(&self, number: u32) -> bool {
        self.number == number && self.state == EniState::Open as u32
    }
}

/// How many flow entries an ENI has had. Programs add to `made`; user space counts those that it has deleted apart,
/// by generation too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct FlowCount {
    /// Entries made since the ENI was opened, by [generation](crate::FlowKey::generation).
    pub made: [u64; 2],
    /// When a flow last found no room.
    pub last_full: Tick,
    /// Whether one ever did.
    pub was_full: u32,
}

// SAFETY: `#[repr(C)]`, 24 bytes of integers.
unsafe impl Plain for FlowCount {}

/// The slot of an ENI where there are `mask + 1` of them, a power of two.
#[inline]
pub const fn slot_of(number: u32, mask: u32) -> u32 {
    number & mask
}

impl Direction {
    /// The place of a slot's ledger of this direction.
    #[inline]
    pub const fn ledger_of(self, slot: u32) -> u32 {
        slot * 2 + self as u32
    }
}
