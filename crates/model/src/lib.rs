//! The domain of enid: identifiers, addresses, VPCs, subnets, security groups, prefix lists, tasks, ENIs, traffic classes.
//!
//! Every type is valid by construction: text is parsed once, at the edge, and what carries the type needs no
//! second check. Nothing here does I/O.

mod address;
mod cidr;
mod class;
mod eni;
mod error;
mod gso;
mod icmp;
mod id;
mod idle_timeouts;
mod mac;
mod mtu;
mod name;
mod network;
mod network_file;
mod networks;
mod platform;
mod port_range;
mod prefix_list;
mod protocol;
mod rule_spec;
mod security_group;
mod task;
mod workload;

pub use address::{AddressRefusal, RESERVED_AT_END, RESERVED_AT_START};
pub use cidr::{Cidr, Ipv4Cidr, Ipv6Cidr};
pub use class::TrafficClass;
pub use eni::{Eni, EniAddresses, EniNumber};
pub use error::ModelError;
pub use gso::{GsoMaxSize, GsoMaxSizes};
pub use icmp::IcmpSelector;
pub use id::{EniId, PrefixListId, SecurityGroupId, SubnetId, VpcId};
pub use idle_timeouts::{IdleTimeouts, TcpEstablishedTimeout, UdpStreamTimeout, UdpTimeout};
pub use mac::MacAddress;
pub use mtu::Mtu;
pub use name::{Name, TaskName};
pub use network::{Subnet, Uplink, Vpc};
pub use network_file::{
    FlowLogSpec, NetworkFileError, NetworkSpec, PrefixListSpec, Problem, SecurityGroupSpec, SubnetSpec,
    VpcSpec, Written, nearest,
};
pub use networks::{
    Action, ApplyError, Change, ListUpdate, LookupError, Networks, Object, Refusal, RemoveError,
};
pub use platform::{
    Carrier, PlatformVersion, PlatformVersionRefusal, PlatformVersionState, PlatformVersions,
    WantedPlatformVersion,
};
pub use port_range::PortRange;
pub use prefix_list::{MAX_PREFIX_LIST_ENTRIES, PrefixList};
pub use protocol::Protocol;
pub use rule_spec::{PeerSpec, RuleSpec};
pub use security_group::{DEFAULT_SECURITY_GROUP, MAX_RULES, MAX_SECURITY_GROUPS, Peer, Rule, SecurityGroup};
pub use task::{NamespaceId, Task};
pub use workload::{EcsTask, Identifier, Tags};
