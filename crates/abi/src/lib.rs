//! The types and constants that the eBPF programs and the daemon share.
//!
//! Everything here is the layout of a map: plain `#[repr(C)]` data without padding that is not named, so that both
//! sides, and bpftool through BTF, read the same bytes. Changing a layout changes what a newer daemon finds pinned
//! by an older one; the loader compares sizes and refuses to mix them.

#![no_std]

mod bucket;
mod class;
mod clock;
mod eni;
mod flow;
mod ledger;
mod plain;

pub use bucket::Bucket;
pub use class::ClassTag;
pub use clock::{Clock, Interval, TICK_SHIFT, Tick};
pub use eni::{EniSlot, EniState, slot_of};
pub use flow::{Direction, EXPIRY_INTERVALS, Family, FlowKey, FlowValue, Mark, TcpFlags, Window};
pub use ledger::{Count, Ledger};
pub use plain::Plain;

/// The names of the maps, which are also their file names where they are pinned.
pub mod map_name {
    /// Slots of ENIs: array of [`EniSlot`](crate::EniSlot).
    pub const ENIS: &str = "ENIS";
    /// Both ledgers of each ENI and direction: per-CPU array of [`Ledger`](crate::Ledger), two a slot.
    pub const LEDGERS: &str = "LEDGERS";
    /// The flow table: hash from [`FlowKey`](crate::FlowKey) to [`FlowValue`](crate::FlowValue).
    pub const FLOWS: &str = "FLOWS";
    /// Tagged cgroups: hash from cgroup id to [`ClassTag`](crate::ClassTag).
    pub const CLASSES: &str = "CLASSES";
    /// The current aggregation interval: array of one [`Clock`](crate::Clock).
    pub const CLOCK: &str = "CLOCK";
}

/// The name of the read-only global that holds the number of ENI slots less one.
pub const ENI_MASK: &str = "ENI_MASK";

/// The capacity of the map of tagged cgroups: one for each platform command that runs at a time.
pub const CLASS_CAPACITY: u32 = 16_384;
