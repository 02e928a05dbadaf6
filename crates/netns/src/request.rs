//! What enid asks of the kernel's routing netlink, each request one message.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use enid_model::{GsoMaxSizes, MacAddress};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, Prop,
};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::tc::{
    TcAttribute, TcBpfFlags, TcFilterBpf, TcFilterBpfOption, TcHandle, TcMessage, TcOption,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

const NLM_F_REPLACE: u16 = 0x100;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;

/// enid's own number among the protocols that install routes, so that its routes are known in a listing. The
/// kernel leaves 5 to 255 to programs; iproute2's table names none of this number.
const ROUTE_PROTOCOL: u8 = 101;

/// The priority of routes of last resort: the largest but one, which is that of IPv6's own (`ip6_null_entry`).
const LAST_PRIORITY: u32 = u32::MAX - 1;

/// Handle and priority of enid's filters: fixed, so that a later daemon replaces them in place.
const FILTER_HANDLE: u32 = 1;
const FILTER_PRIORITY: u32 = 1;
/// `ETH_P_ALL` (linux/if_ether.h) in network order: the filter sees every frame.
const EVERY_PROTOCOL: u32 = 0x0003_u16.to_be() as u32;

/// Where on a device an eBPF classifier runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// On what arrives from the device.
    Ingress,
    /// On what leaves through the device.
    Egress,
}

/// One end of a veth pair.
#[derive(Debug, Clone)]
pub struct LinkEnd {
    /// The interface's name, at most 15 bytes.
    pub name: String,
    /// The wanted interface index; where absent the kernel chooses. Both ends have one or neither.
    pub index: Option<u32>,
    /// Its address; where absent the kernel draws one.
    pub mac: Option<MacAddress>,
    /// Its MTU in bytes.
    pub mtu: u32,
    /// The most that it takes, and puts together of what it receives, in one segmented buffer. A kernel that does not know
    /// a size beyond the [legacy](GsoMaxSizes::LEGACY) one of IPv4 (before Linux 6.3) passes over it.
    pub gso: GsoMaxSizes,
    /// The namespace it is born in; where absent the socket's.
    pub namespace: Option<RawFd>,
}

/// What a route does with packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteKind {
    /// Sends them out of this device to a neighbour on it.
    Device(u32),
    /// Sends them out of this device to a gateway, which is on it whether a route says so or not.
    Gateway(u32, IpAddr),
    /// Takes them in as the namespace's own, which come from this device.
    Local(u32),
    /// Refuses them with an error to the sender.
    Unreachable,
    /// The same, beside any other route to the destination, which comes before it.
    LastResort,
}

/// A request to the kernel.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "each variant's line says what its fields are")]
pub enum Request {
    /// A veth pair, both ends born in their namespaces.
    NewVeth { end: LinkEnd, peer: LinkEnd },
    /// A longer name for a link, up to 127 bytes.
    AlternativeName { index: u32, name: String },
    /// Brings a link up.
    Up { index: u32 },
    /// Puts a link in a group, so that it can be deleted with many others.
    Group { index: u32, group: u32 },
    /// Deletes a link.
    DeleteLink { index: u32 },
    /// Deletes all links of a group at once, for the price of one.
    DeleteGroup { group: u32 },
    /// An address on a link, whether it is there already or not. It says what the prefix is, and makes no route of it:
    /// whatever is to be reached over the link has a route of its own. IPv6 addresses are used at once, without
    /// duplicate address detection (RFC 4862 section 5.4).
    Address { index: u32, address: IpAddr, prefix: u8 },
    /// Takes an address off a link.
    DeleteAddress { index: u32, address: IpAddr, prefix: u8 },
    /// A neighbour that is never asked for.
    Neighbour { index: u32, address: IpAddr, mac: MacAddress },
    /// A route, in place of one to the same destination if there is one.
    Route { destination: IpAddr, prefix: u8, kind: RouteKind, source: Option<IpAddr> },
    /// Deletes the route to a destination through a device.
    DeleteRoute { destination: IpAddr, prefix: u8, index: u32 },
    /// The place on a link that classifiers attach to.
    Clsact { index: u32 },
    /// An eBPF classifier in direct action, in place of an earlier one of enid's, atomically.
    Classifier { index: u32, hook: Hook, program: RawFd, name: &'static str },
}

impl Request {
    /// A classifier on a link: see [`Request::Classifier`]. The program's descriptor must be open until it is sent.
    pub fn classifier(index: u32, hook: Hook, program: BorrowedFd<'_>, name: &'static str) -> Self {
        Self::Classifier { index, hook, program: program.as_raw_fd(), name }
    }

    pub(crate) fn flags(&self) -> u16 {
        match self {
            Self::NewVeth { .. } | Self::AlternativeName { .. } | Self::Clsact { .. } => {
                NLM_F_CREATE | NLM_F_EXCL
            }
            Self::Address { .. } => NLM_F_CREATE | NLM_F_REPLACE,
            Self::Neighbour { .. } | Self::Route { .. } | Self::Classifier { .. } => {
                NLM_F_CREATE | NLM_F_REPLACE
            }
            Self::Up { .. }
            | Self::Group { .. }
            | Self::DeleteLink { .. }
            | Self::DeleteGroup { .. }
            | Self::DeleteRoute { .. }
            | Self::DeleteAddress { .. } => 0,
        }
    }

    pub(crate) fn message(&self) -> RouteNetlinkMessage {
        match self {
            Self::NewVeth { end, peer } => RouteNetlinkMessage::NewLink(veth(end, peer)),
            Self::AlternativeName { index, name } => {
                let names = LinkAttribute::PropList(vec![Prop::AltIfName(name.clone())]);
                RouteNetlinkMessage::NewLinkProp(link(*index, vec![names]))
            }
            Self::Up { index } => {
                let mut message = link(*index, Vec::new());
                message.header.flags = LinkFlags::Up;
                message.header.change_mask = LinkFlags::Up;
                RouteNetlinkMessage::SetLink(message)
            }
            Self::Group { index, group } => {
                RouteNetlinkMessage::SetLink(link(*index, vec![LinkAttribute::Group(*group)]))
            }
            Self::DeleteLink { index } => RouteNetlinkMessage::DelLink(link(*index, Vec::new())),
            Self::DeleteGroup { group } => {
                RouteNetlinkMessage::DelLink(link(0, vec![LinkAttribute::Group(*group)]))
            }
            Self::Address { index, address, prefix } => {
                RouteNetlinkMessage::NewAddress(address_message(*index, *address, *prefix))
            }
            Self::DeleteAddress { index, address, prefix } => {
                RouteNetlinkMessage::DelAddress(address_message(*index, *address, *prefix))
            }
            Self::Neighbour { index, address, mac } => {
                RouteNetlinkMessage::NewNeighbour(neighbour(*index, *address, *mac))
            }
            Self::Route { destination, prefix, kind, source } => {
                RouteNetlinkMessage::NewRoute(route(*destination, *prefix, *kind, *source))
            }
            Self::DeleteRoute { destination, prefix, index } => {
                RouteNetlinkMessage::DelRoute(route(*destination, *prefix, RouteKind::Device(*index), None))
            }
            Self::Clsact { index } => RouteNetlinkMessage::NewQueueDiscipline(clsact(*index)),
            Self::Classifier { index, hook, program, name } => {
                RouteNetlinkMessage::NewTrafficFilter(classifier(*index, *hook, *program, name))
            }
        }
    }
}

fn link(index: u32, attributes: Vec<LinkAttribute>) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes = attributes;
    message
}

fn veth(end: &LinkEnd, peer: &LinkEnd) -> LinkMessage {
    let attributes = |end: &LinkEnd| {
        let mut attributes = vec![LinkAttribute::IfName(end.name.clone()), LinkAttribute::Mtu(end.mtu)];
        attributes.extend(gso(end.gso));
        attributes.extend(end.mac.map(|mac| LinkAttribute::Address(mac.octets().to_vec())));
        attributes.extend(end.namespace.map(LinkAttribute::NetNsFd));
        attributes
    };
    let peer = link(peer.index.unwrap_or(0), attributes(peer));
    let mut message = link(end.index.unwrap_or(0), attributes(end));
    message.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::Kind(InfoKind::Veth),
        LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
    ]));
    message
}

/// What differs from a device's defaults. The kernel takes IPv6's first, whatever the order: where that is a legacy size it
/// makes it IPv4's too, and only then takes IPv4's own (`netif_set_gso_max_size` of linux/netdevice.h).
fn gso(sizes: GsoMaxSizes) -> Vec<LinkAttribute> {
    let GsoMaxSizes { ipv4, ipv6 } = sizes;
    let mut attributes = Vec::new();
    if ipv6 != GsoMaxSizes::LEGACY.ipv6 {
        attributes.extend([LinkAttribute::GsoMaxSize(ipv6.get()), LinkAttribute::GroMaxSize(ipv6.get())]);
    }
    if ipv4 != GsoMaxSizes::LEGACY.ipv4 {
        let (gso, gro) =
            (LinkAttribute::GsoIpv4MaxSize(ipv4.get()), LinkAttribute::GroIpv4MaxSize(ipv4.get()));
        attributes.extend([gso, gro]);
    }
    attributes
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

fn address_message(index: u32, address: IpAddr, prefix: u8) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = family(address);
    message.header.prefix_len = prefix;
    message.header.index = index;
    let flags = AddressFlags::Nodad | AddressFlags::Noprefixroute;
    message.attributes = vec![
        AddressAttribute::Local(address),
        AddressAttribute::Address(address),
        AddressAttribute::Flags(flags),
    ];
    message
}

fn neighbour(index: u32, address: IpAddr, mac: MacAddress) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = family(address);
    message.header.ifindex = index;
    message.header.state = NeighbourState::Permanent;
    let destination = match address {
        IpAddr::V4(address) => NeighbourAddress::Inet(address),
        IpAddr::V6(address) => NeighbourAddress::Inet6(address),
    };
    message.attributes = vec![
        NeighbourAttribute::Destination(destination),
        NeighbourAttribute::LinkLayerAddress(mac.octets().to_vec()),
    ];
    message
}

pub(crate) fn route_address(address: IpAddr) -> RouteAddress {
    match address {
        IpAddr::V4(address) => RouteAddress::Inet(address),
        IpAddr::V6(address) => RouteAddress::Inet6(address),
    }
}

fn route(destination: IpAddr, prefix: u8, kind: RouteKind, source: Option<IpAddr>) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family(destination);
    message.header.destination_prefix_length = prefix;
    message.header.table = libc::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Other(ROUTE_PROTOCOL);
    message.header.kind = RouteType::Unicast;
    let unspecified = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
    if !unspecified.contains(&destination) {
        message.attributes.push(RouteAttribute::Destination(route_address(destination)));
    }
    match kind {
        RouteKind::Device(index) => {
            // IPv4 wants to be told that the neighbour is on the link; IPv6 does not look.
            message.header.scope =
                if destination.is_ipv4() { RouteScope::Link } else { RouteScope::Universe };
            message.attributes.push(RouteAttribute::Oif(index));
        }
        RouteKind::Gateway(index, gateway) => {
            message.header.flags = RouteFlags::Onlink;
            message.attributes.push(RouteAttribute::Oif(index));
            message.attributes.push(RouteAttribute::Gateway(route_address(gateway)));
        }
        RouteKind::Local(index) => {
            message.header.table = libc::RT_TABLE_LOCAL;
            message.header.kind = RouteType::Local;
            message.header.scope = RouteScope::Host;
            message.attributes.push(RouteAttribute::Oif(index));
        }
        RouteKind::Unreachable => message.header.kind = RouteType::Unreachable,
        RouteKind::LastResort => {
            message.header.kind = RouteType::Unreachable;
            message.attributes.push(RouteAttribute::Priority(LAST_PRIORITY));
        }
    }
    message.attributes.extend(source.map(|source| RouteAttribute::PrefSource(route_address(source))));
    message
}

fn tc(index: u32, handle: TcHandle, parent: TcHandle, kind: &str) -> TcMessage {
    let mut message = TcMessage::default();
    message.header.index = index.cast_signed();
    message.header.handle = handle;
    message.header.parent = parent;
    message.attributes.push(TcAttribute::Kind(kind.to_owned()));
    message
}

fn clsact(index: u32) -> TcMessage {
    tc(index, TcHandle { major: 0xffff, minor: 0 }, TcHandle::CLSACT, "clsact")
}

fn classifier(index: u32, hook: Hook, program: RawFd, name: &str) -> TcMessage {
    // linux/pkt_sched.h: TC_H_MIN_INGRESS and TC_H_MIN_EGRESS.
    let minor = match hook {
        Hook::Ingress => 0xfff2,
        Hook::Egress => 0xfff3,
    };
    let parent = TcHandle { major: 0xffff, minor };
    let mut message = tc(index, TcHandle::from(FILTER_HANDLE), parent, TcFilterBpf::KIND);
    message.header.info = (FILTER_PRIORITY << 16) | EVERY_PROTOCOL;
    message.attributes.push(TcAttribute::Options(vec![
        TcOption::Bpf(TcFilterBpfOption::ProgFd(program.cast_unsigned())),
        TcOption::Bpf(TcFilterBpfOption::ProgName(name.to_owned())),
        TcOption::Bpf(TcFilterBpfOption::Flags(TcBpfFlags::DirectAction)),
    ]));
    message
}

impl fmt::Display for Request {
    /// In words that complete "the kernel refused to …".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NewVeth { end, peer } => {
                write!(f, "create the veth pair {} and {}", end.name, peer.name)
            }
            Self::AlternativeName { index, name } => write!(f, "name link {index} {name}"),
            Self::Up { index } => write!(f, "bring link {index} up"),
            Self::Group { index, group } => write!(f, "put link {index} in group {group}"),
            Self::DeleteLink { index } => write!(f, "delete link {index}"),
            Self::DeleteGroup { group } => write!(f, "delete the links of group {group}"),
            Self::Address { index, address, prefix } => {
                write!(f, "add address {address}/{prefix} to link {index}")
            }
            Self::DeleteAddress { index, address, .. } => write!(f, "take {address} off link {index}"),
            Self::Neighbour { index, address, mac } => {
                write!(f, "add neighbour {address} at {mac} to link {index}")
            }
            Self::Route { destination, prefix, .. } => write!(f, "add the route to {destination}/{prefix}"),
            Self::DeleteRoute { destination, prefix, .. } => {
                write!(f, "delete the route to {destination}/{prefix}")
            }
            Self::Clsact { index } => write!(f, "prepare link {index} for classifiers"),
            Self::Classifier { index, hook, .. } => write!(f, "attach the {hook:?} program to link {index}"),
        }
    }
}
