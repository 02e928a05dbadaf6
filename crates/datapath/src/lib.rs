//! Loads the eBPF programs that account for every packet of an ENI, and owns their maps: configuration in, flows and
//! counters out. Attaching the programs to a device is netlink's business, not done here.
//!
//! [`Datapath`] is shared by reference among threads. Its calls are system calls of microseconds, except
//! [`Datapath::load`], [`Datapath::advance_interval`] and [`Datapath::read_flows`], which belong on a thread that may
//! block.

mod clock;
mod eni;
mod error;
mod flow_counts;
mod flows;
mod grace;
mod load;
mod map;
mod object;
mod pin;
mod policy;
mod sys;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Mutex;
use std::sync::atomic::AtomicU32;

use enid_abi::{ClassTag, Clock, EniSlot, FlowCount, FlowValue, RefusalValue};

pub use eni::{EniSettings, Ledgers};
pub use enid_abi::{
    Bucket, Count, Direction, FlowKey, GROUP_CAPACITY, Interval, LIST_CAPACITY, Ledger, Reason, RefusalKey,
};
pub use error::DatapathError;
pub use flows::{FlowReading, FlowWindow};
pub use load::{DatapathConfig, Forwarding};
pub use policy::{DecidingRule, FiveTuple, Member, Policy, PolicyAnswer, PolicyQuestion};

use clock::Ticks;
use grace::GracePeriod;
use map::{Map, PerCpuMap};
use policy::PolicyMaps;

/// The programs, loaded, and their maps.
#[derive(Debug)]
pub struct Datapath {
    from_eni: OwnedFd,
    to_eni: OwnedFd,
    enis: Map<u32, EniSlot>,
    ledgers: PerCpuMap<Ledger>,
    flows: Map<FlowKey, FlowValue>,
    refusals: Map<RefusalKey, RefusalValue>,
    flow_counts: Map<u32, FlowCount>,
    flows_deleted: Map<u32, [u64; 2]>,
    policy: PolicyMaps,
    classes: Map<u64, ClassTag>,
    /// A socket's key is its descriptor.
    socket_classes: Map<u32, ClassTag>,
    clock: Map<u32, Clock>,
    grace: GracePeriod,
    ticks: Ticks,
    /// The number of ENI slots less one.
    eni_mask: u32,
    /// Two ENIs may want one slot.
    slots: Mutex<()>,
    /// One at a time sets the clock: the interval, or the policy epoch.
    clock_hand: Mutex<()>,
    /// The interval that every program has reached.
    settled: AtomicU32,
    /// When it began, in ticks.
    began: AtomicU32,
}

impl Datapath {
    /// The program for tc ingress of a host end: what the task sends.
    pub fn from_eni(&self) -> BorrowedFd<'_> {
        self.from_eni.as_fd()
    }

    /// The program for tc egress of a host end: what arrives for the task.
    pub fn to_eni(&self) -> BorrowedFd<'_> {
        self.to_eni.as_fd()
    }
}
