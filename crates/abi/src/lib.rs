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
mod phase;
mod plain;
mod policy;
mod reason;

pub use bucket::Bucket;
pub use class::ClassTag;
pub use clock::{Clock, Interval, TICK_SHIFT, Tick};
pub use eni::{EniSlot, EniState, FlowCount, slot_of};
pub use flow::{
    Direction, Family, FlowKey, FlowValue, FragmentKey, Mark, RefusalKey, RefusalValue, TcpFlags, Window,
    is_over,
};
pub use ledger::{Count, Ledger};
pub use phase::Phase;
pub use plain::Plain;
pub use policy::{
    Address, GROUP_CAPACITY, GroupPolicy, Judgement, LIST_CAPACITY, ListKey, MAX_GROUPS, MAX_RANGES,
    MAX_RULES, Match, MemberKey, ObjectId, PeerKind, Policies, PolicyPacket, PolicyRule, PrefixRanges,
    RangeSearch, is_match, judge, open_bit,
};
pub use reason::Reason;

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
    /// Tagged sockets: socket storage of [`ClassTag`](crate::ClassTag).
    pub const SOCKET_CLASSES: &str = "SOCKET_CLASSES";
    /// What was refused: hash from [`RefusalKey`](crate::RefusalKey) to [`RefusalValue`](crate::RefusalValue).
    pub const REFUSALS: &str = "REFUSALS";
    /// Security groups: hash from [`ObjectId`](crate::ObjectId) to [`GroupPolicy`](crate::GroupPolicy).
    pub const GROUPS: &str = "GROUPS";
    /// Their members: hash from [`MemberKey`](crate::MemberKey) to the ENI's number.
    pub const MEMBERS: &str = "MEMBERS";
    /// Prefix lists: hash from [`ListKey`](crate::ListKey) to [`PrefixRanges`](crate::PrefixRanges).
    pub const LISTS: &str = "LISTS";
    /// Entries that flows of an ENI have had: array of [`FlowCount`](crate::FlowCount), by slot.
    pub const FLOW_COUNTS: &str = "FLOW_COUNTS";
    /// Entries of an ENI that user space has deleted: array of u64, by slot.
    pub const FLOWS_DELETED: &str = "FLOWS_DELETED";
    /// Ports of fragmented datagrams: LRU hash from [`FragmentKey`](crate::FragmentKey) to ports.
    pub const FRAGMENTS: &str = "FRAGMENTS";
    /// The current aggregation interval: array of one [`Clock`](crate::Clock).
    pub const CLOCK: &str = "CLOCK";
}

/// The name of the read-only global that holds the number of ENI slots less one.
pub const ENI_MASK: &str = "ENI_MASK";

/// The name of the read-only global that says whether packets between ENIs of this host are forwarded by the programs
/// (1) or by the kernel (0).
pub const FORWARDING: &str = "FORWARDING";

/// The capacity of the map of tagged cgroups: one for each platform command that runs at a time.
pub const CLASS_CAPACITY: u32 = 16_384;
