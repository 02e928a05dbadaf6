//! Which way the kernel of a namespace would send a packet that it routes.

use std::net::IpAddr;

use netlink_packet_route::AddressFamily;
use netlink_packet_route::route::{RouteAttribute, RouteMessage, RouteType};
use tokio::runtime::Handle;
use tokio_stream::StreamExt;

use crate::request::route_address;
use crate::{Inventory, Namespace, NetnsError};

/// Where a packet goes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Out of the link with this index.
    Link(u32),
    /// To the namespace itself, which has the address.
    Own,
    /// Nowhere.
    None,
}

impl Way {
    /// Asks the kernel of a namespace which way it would send a packet that arrived on one of its links. It blocks,
    /// beside a runtime.
    ///
    /// # Errors
    /// The namespace can't be entered, there is no such link, or the kernel does not answer.
    pub fn find(
        namespace: &Namespace,
        runtime: &Handle,
        link: u32,
        source: IpAddr,
        destination: IpAddr,
    ) -> Result<Self, NetnsError> {
        Self::ask(
            namespace,
            runtime,
            destination,
            vec![RouteAttribute::Source(route_address(source)), RouteAttribute::Iif(link)],
        )
    }

    /// Asks the kernel of a namespace whether an address is the namespace's own. It blocks, beside a runtime.
    ///
    /// # Errors
    /// The namespace can't be entered, or the kernel does not answer.
    pub fn is_own(namespace: &Namespace, runtime: &Handle, address: IpAddr) -> Result<bool, NetnsError> {
        Ok(Self::ask(namespace, runtime, address, Vec::new())? == Self::Own)
    }

    fn ask(
        namespace: &Namespace,
        runtime: &Handle,
        destination: IpAddr,
        attributes: Vec<RouteAttribute>,
    ) -> Result<Self, NetnsError> {
        let inventory = {
            let _in_runtime = runtime.enter();
            Inventory::open(namespace)?
        };
        runtime.block_on(inventory.way(destination, attributes))
    }
}

impl Inventory {
    async fn way(&self, destination: IpAddr, attributes: Vec<RouteAttribute>) -> Result<Way, NetnsError> {
        let mut question = RouteMessage::default();
        let (family, length) =
            if destination.is_ipv4() { (AddressFamily::Inet, 32) } else { (AddressFamily::Inet6, 128) };
        question.header.address_family = family;
        question.header.destination_prefix_length = length;
        if attributes.iter().any(|attribute| matches!(attribute, RouteAttribute::Source(_))) {
            question.header.source_prefix_length = length;
        }
        question.attributes = attributes;
        question.attributes.push(RouteAttribute::Destination(route_address(destination)));
        match self.handle().route().get(question).execute().next().await {
            Some(Ok(route)) => Ok(way(&route)),
            None => Ok(Way::None),
            Some(Err(rtnetlink::Error::NetlinkError(error))) if is_no_way(error.raw_code()) => Ok(Way::None),
            Some(Err(source)) => Err(NetnsError::Inventory { action: "ask for a route", source }),
        }
    }
}

fn way(route: &RouteMessage) -> Way {
    let out = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(index) => Some(*index),
        _ => None,
    });
    match route.header.kind {
        RouteType::Local => Way::Own,
        RouteType::Unicast => out.map_or(Way::None, Way::Link),
        _ => Way::None,
    }
}

/// Whether it is a route's refusal: unreachable, prohibited, a blackhole, or an address that is never routed.
fn is_no_way(code: i32) -> bool {
    [libc::EHOSTUNREACH, libc::ENETUNREACH, libc::EACCES, libc::EINVAL].contains(&-code)
}
