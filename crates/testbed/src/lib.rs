//! Hosts, VPCs and peers out of network namespaces, for tests and benchmarks.
//!
//! [`Host`] is a machine of its own for a daemon, many to a process; [`namespace`] and [`traffic`] make what is around
//! it and what goes through it, [`frames`] what no protocol would send, [`capture`] counts what passes, [`store`] is a place to
//! deliver to. These panic where a step fails: whoever uses them is a test, and wants to know where.
//! [`floor`] is what benchmarks compare with.

pub mod capture;
pub mod floor;
pub mod frames;
mod host;
pub mod icmp;
pub mod namespace;
mod packet_socket;
pub mod store;
pub mod traffic;
mod wait;

pub use host::{DaemonKind, Host, HostOptions, new_task, program};
pub use wait::{DEADLINE, wait_until};
