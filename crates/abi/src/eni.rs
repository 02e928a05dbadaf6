//! Slots of ENIs.

use crate::{Direction, Plain};

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
}

// SAFETY: `#[repr(C)]`, two integers of one size.
unsafe impl Plain for EniSlot {}

impl EniSlot {
    /// A slot in a state.
    pub const fn new(number: u32, state: EniState) -> Self {
        Self { number, state: state as u32 }
    }

    /// Whether the slot is this ENI's, open or closed.
    pub const fn holds(&self, number: u32) -> bool {
        self.number == number && self.state != EniState::Unused as u32
    }
}

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
