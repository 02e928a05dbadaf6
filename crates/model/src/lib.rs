//! The domain of enid: identifiers, addresses, VPCs, subnets, security groups, tasks, ENIs, traffic classes.
//!
//! Every type is valid by construction: text is parsed once, at the edge, and what carries the type needs no
//! second check. Nothing here does I/O.

mod address;
mod cidr;
mod class;
mod eni;
mod error;
mod gso;
mod id;
mod mac;
mod mtu;
mod name;
mod network;
mod network_file;
mod networks;
mod platform;
mod security_group;
mod task;

pub use address::{AddressRefusal, RESERVED_AT_END, RESERVED_AT_START};
pub use cidr::{Ipv4Cidr, Ipv6Cidr};
pub use class::TrafficClass;
pub use eni::{Eni, EniAddresses, EniNumber};
pub use error::ModelError;
pub use gso::{GsoMaxSize, GsoMaxSizes};
pub use id::{EniId, SecurityGroupId, SubnetId, VpcId};
pub use mac::MacAddress;
pub use mtu::Mtu;
pub use name::{Name, TaskName};
pub use network::{Subnet, Uplink, Vpc};
pub use network_file::{
    NetworkFileError, NetworkSpec, PeerSpec, Problem, RuleSpec, SecurityGroupSpec, SubnetSpec, VpcSpec,
};
pub use networks::{Action, ApplyError, Change, LookupError, Networks, Object, Refusal, RemoveError};
pub use platform::PlatformVersion;
pub use security_group::{DEFAULT_SECURITY_GROUP, MAX_RULES, Peer, PortRange, Protocol, Rule, SecurityGroup};
pub use task::{NamespaceId, Task};
