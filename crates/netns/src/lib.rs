//! Network namespaces, links, addresses and routes, over netlink.
//!
//! Two ways in. [`Netlink`] is a bare, blocking socket that sends many requests in one system call: the way an ENI
//! is made, where every microsecond counts. [`Inventory`] asks questions through rtnetlink, where none does.

mod error;
mod inventory;
mod namespace;
mod netlink;
mod pair;
mod request;
pub mod sysctl;
mod way;

pub use error::NetnsError;
pub use inventory::{Inventory, Link, LinkStatistics, RouteOut};
pub use namespace::{Namespace, prepare_directory, remove_name_of, unmount};
pub use netlink::{Netlink, NetlinkError};
pub use pair::VethPair;
pub use request::{Hook, LinkEnd, Request, RouteKind};
pub use way::Way;
