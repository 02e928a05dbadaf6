//! The least that giving a task a network interface can cost: what benchmarks compare with.
//!
//! [`Floor::create`] makes a network namespace, binds it to a path, and with two netlink packets gives it a veth (one
//! RTM_NEWLINK, both ends in their final namespaces), IPv4 and IPv6 addresses and routes. It keeps no record, loads no
//! program, enforces nothing and answers nobody, and shares no code with the daemon, so that neither hides in the other.

use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::route::{RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use rustix::mount::{UnmountFlags, mount_bind, unmount};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};

/// The interface index of the task's loopback: the first device of every network namespace.
const LOOPBACK: u32 = 1;
/// The interface index asked for the task's end; the namespace is new, so it is free.
const TASK_END: u32 = 2;
/// The namespace of the calling thread, which may be another than its process's.
const OWN_NAMESPACE: &str = "/proc/thread-self/ns/net";

/// What the kernel refused.
#[derive(Debug, thiserror::Error)]
#[error("{step} {object}")]
pub struct FloorError {
    step: &'static str,
    object: String,
    source: io::Error,
}

/// Names the step that failed and the object it failed on.
fn failed<E: Into<io::Error>>(step: &'static str, object: impl ToString) -> impl FnOnce(E) -> FloorError {
    move |source| FloorError { step, object: object.to_string(), source: source.into() }
}

/// One task's interface.
#[derive(Debug, Clone)]
pub struct Interface {
    /// Where the task's namespace is bound.
    pub netns: PathBuf,
    /// The interface index of the host end.
    pub index: u32,
    /// The task end's MAC.
    pub mac: [u8; 6],
    /// The MTU of both ends, in bytes.
    pub mtu: u32,
    /// The task's IPv4 address with its subnet's prefix length.
    pub ipv4: (Ipv4Addr, u8),
    /// The IPv4 router, inside the subnet.
    pub ipv4_gateway: Ipv4Addr,
    /// The task's IPv6 address, a /128.
    pub ipv6: Ipv6Addr,
    /// The IPv6 router, link-local.
    pub ipv6_gateway: Ipv6Addr,
}

/// Makes a network namespace and binds it to `path`; the calling thread is in it afterwards.
///
/// # Errors
/// Not root, or the path's folder is missing.
pub fn make_namespace(path: &Path) -> Result<OwnedFd, FloorError> {
    // SAFETY: NEWNET unshares neither the file descriptor table nor the file system context, which is what
    // makes other flags unsafe.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.map_err(failed("unshare", path.display()))?;
    File::create(path).map_err(failed("create", path.display()))?;
    mount_bind(OWN_NAMESPACE, path).map_err(failed("bind a namespace to", path.display()))?;
    own_namespace()
}

/// Unbinds the namespace from `path`; with its last process and socket it is gone.
///
/// # Errors
/// Nothing is bound there.
pub fn remove_namespace(path: &Path) -> Result<(), FloorError> {
    unmount(path, UnmountFlags::DETACH).map_err(failed("unmount", path.display()))?;
    fs::remove_file(path).map_err(failed("remove", path.display()))
}

/// The network namespace that the calling thread is in.
///
/// # Errors
/// /proc is not mounted.
pub fn own_namespace() -> Result<OwnedFd, FloorError> {
    let file = File::open(OWN_NAMESPACE).map_err(failed("open", OWN_NAMESPACE))?;
    Ok(file.into())
}

/// Moves the calling thread into a network namespace.
///
/// # Errors
/// Not root.
pub fn enter_namespace(namespace: impl AsFd) -> Result<(), FloorError> {
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
        .map_err(failed("enter", "a network namespace"))
}

/// The host's side: the namespace that holds the host ends.
pub struct Floor {
    home: OwnedFd,
    route: Route,
}

impl Floor {
    /// Works in the network namespace that the calling thread is in.
    ///
    /// # Errors
    /// The kernel gives no netlink socket.
    pub fn open() -> Result<Self, FloorError> {
        Ok(Self { home: own_namespace()?, route: Route::open()? })
    }

    /// Makes the namespace and the interface. The calling thread is back in the host's namespace afterwards.
    ///
    /// # Errors
    /// The kernel refused a step; what was made before it stays.
    pub fn create(&mut self, interface: &Interface) -> Result<(), FloorError> {
        let namespace = make_namespace(&interface.netns)?;
        let made = Route::open().and_then(|mut inside| {
            self.route.send(&host_messages(interface, &namespace))?;
            inside.send(&task_messages(interface))
        });
        enter_namespace(&self.home)?;
        made
    }

    /// Deletes the device, waiting until it is gone, and unbinds the namespace.
    ///
    /// # Errors
    /// Either is gone already.
    pub fn delete(&mut self, interface: &Interface) -> Result<(), FloorError> {
        let mut link = LinkMessage::default();
        link.header.index = interface.index;
        self.route.send(&[RouteNetlinkMessage::DelLink(link)])?;
        remove_namespace(&interface.netns)
    }
}

/// The veth, and the host's way to the task.
fn host_messages(interface: &Interface, namespace: &OwnedFd) -> Vec<RouteNetlinkMessage> {
    let mut peer = LinkMessage::default();
    peer.header.index = TASK_END;
    peer.attributes = vec![
        LinkAttribute::IfName("eth0".to_owned()),
        LinkAttribute::NetNsFd(namespace.as_raw_fd()),
        LinkAttribute::Address(interface.mac.to_vec()),
        LinkAttribute::Mtu(interface.mtu),
    ];
    let mut veth = LinkMessage::default();
    veth.header.index = interface.index;
    veth.attributes = vec![
        LinkAttribute::IfName(format!("floor{}", interface.index)),
        LinkAttribute::Mtu(interface.mtu),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
        ]),
    ];
    let out = interface.index;
    vec![
        RouteNetlinkMessage::NewLink(veth),
        link_up(out),
        route(interface.ipv4.0.into(), 32, None, out),
        route(interface.ipv6.into(), 128, None, out),
    ]
}

/// The task's devices, addresses and default routes.
fn task_messages(interface: &Interface) -> Vec<RouteNetlinkMessage> {
    let (ipv4, prefix) = interface.ipv4;
    vec![
        link_up(LOOPBACK),
        address(ipv4.into(), prefix),
        address(interface.ipv6.into(), 128),
        link_up(TASK_END),
        route(Ipv4Addr::UNSPECIFIED.into(), 0, Some(interface.ipv4_gateway.into()), TASK_END),
        route(Ipv6Addr::UNSPECIFIED.into(), 0, Some(interface.ipv6_gateway.into()), TASK_END),
    ]
}

fn link_up(index: u32) -> RouteNetlinkMessage {
    let mut link = LinkMessage::default();
    link.header.index = index;
    link.header.flags = LinkFlags::Up;
    link.header.change_mask = LinkFlags::Up;
    RouteNetlinkMessage::SetLink(link)
}

fn address(address: IpAddr, prefix: u8) -> RouteNetlinkMessage {
    let mut message = AddressMessage::default();
    message.header.family = family(address);
    message.header.prefix_len = prefix;
    message.header.index = TASK_END;
    message.attributes = vec![AddressAttribute::Address(address), AddressAttribute::Local(address)];
    if address.is_ipv6() {
        // The address is usable at once: nobody else on this link could have it.
        message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
    }
    RouteNetlinkMessage::NewAddress(message)
}

fn route(destination: IpAddr, prefix: u8, gateway: Option<IpAddr>, out: u32) -> RouteNetlinkMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family(destination);
    message.header.destination_prefix_length = prefix;
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Static;
    message.header.kind = RouteType::Unicast;
    message.attributes = vec![RouteAttribute::Destination(destination.into()), RouteAttribute::Oif(out)];
    if let Some(gateway) = gateway {
        message.attributes.push(RouteAttribute::Gateway(gateway.into()));
    }
    RouteNetlinkMessage::NewRoute(message)
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

/// A bare rtnetlink socket in the namespace that it was opened in.
struct Route {
    socket: Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Route {
    fn open() -> Result<Self, FloorError> {
        let socket = Socket::new(NETLINK_ROUTE).map_err(failed("open", "a netlink socket"))?;
        socket.connect(&SocketAddr::new(0, 0)).map_err(failed("connect", "a netlink socket"))?;
        Ok(Self { socket, sequence: 0, buffer: Vec::new() })
    }

    /// Sends the messages as one packet and waits for the last one's acknowledgement; the kernel does them in order.
    fn send(&mut self, messages: &[RouteNetlinkMessage]) -> Result<(), FloorError> {
        self.buffer.clear();
        let first = self.sequence + 1;
        for (position, message) in messages.iter().enumerate() {
            self.sequence += 1;
            let mut header = NetlinkHeader::default();
            header.sequence_number = self.sequence;
            header.flags = match message {
                RouteNetlinkMessage::DelLink(_) => NLM_F_REQUEST,
                _ => NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL,
            };
            if position + 1 == messages.len() {
                header.flags |= NLM_F_ACK;
            }
            let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message.clone()));
            message.finalize();
            let start = self.buffer.len();
            // A message begins on a multiple of four bytes (NLMSG_ALIGN).
            let end = start + message.buffer_len();
            self.buffer.resize(end.next_multiple_of(4), 0);
            if let Some(space) = self.buffer.get_mut(start..end) {
                message.serialize(space);
            }
        }
        self.socket.send(&self.buffer, 0).map_err(failed("send", "netlink messages"))?;
        self.acknowledgement(first, messages)
    }

    /// Reads until the acknowledgement of the last message. The kernel goes on past an error; the first one is returned.
    fn acknowledgement(&self, first: u32, messages: &[RouteNetlinkMessage]) -> Result<(), FloorError> {
        let mut outcome = Ok(());
        loop {
            let mut reply = [0; 4096];
            let length =
                self.socket.recv(&mut reply.as_mut_slice(), 0).map_err(failed("read", "a netlink answer"))?;
            let mut rest = reply.get(..length).unwrap_or_default();
            while !rest.is_empty() {
                let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)
                    .map_err(|error| failed("read", "a netlink answer")(io::Error::other(error)))?;
                let sequence = answer.header.sequence_number;
                if let NetlinkPayload::Error(answer) = answer.payload {
                    if answer.code.is_some() && outcome.is_ok() {
                        let refused = messages.get(sequence.wrapping_sub(first) as usize);
                        outcome = Err(failed("netlink", format!("{refused:?}"))(answer.to_io()));
                    }
                    if sequence == self.sequence {
                        return outcome;
                    }
                }
                let length = (answer.header.length as usize).next_multiple_of(4);
                rest = rest.get(length..).unwrap_or_default();
            }
        }
    }
}
