//! The ENI daemon: gives every task of a host one elastic network interface, and accounts for every packet.
//!
//! [`Daemon`] wires the crates together. A library, so that tests and tools can run it in-process; the program is
//! `main.rs`.

mod accounting;
mod addresses;
mod admission;
mod ahead;
mod config;
mod daemon;
mod delivery;
mod dial;
mod doctor;
mod door;
mod eni;
mod error;
mod events;
mod explain;
mod filling;
mod flow_logs;
mod forwarding;
mod kernel;
mod lives;
mod networks;
mod policy;
mod proxy;
mod purge;
mod reaper;
mod router;
mod run;
mod segmentation;
mod service;
mod services;
mod slots;
mod sole;
mod spares;
mod tasks;
mod uplink;
mod way_out;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use config::{
    Config, ConfigError, EniConfig, FlowLogConfig, FlowTableConfig, ForwardingConfig, ForwardingMode, Paths,
    ServicesConfig, SpoolConfig,
};
pub use daemon::{Daemon, Directories, StartError};
pub use error::EnidError;
pub use purge::purge;

/// Locks. A thread that panicked while it held the lock left data as consistent as an error would have: each change
/// is made in one step.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
