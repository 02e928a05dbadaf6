//! A container's network namespace, and what the kernel has in it.

use std::io;
use std::net::IpAddr;
use std::path::Path;

use enid_netns::{Namespace, NetnsError};
use netlink_packet_route::address::AddressAttribute;
use netlink_packet_route::link::{LinkAttribute, LinkFlags};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage};
use rtnetlink::{Handle, RouteMessageBuilder};
use tokio::runtime::Handle as Runtime;
use tokio_stream::StreamExt as _;

use crate::environment::{Container, NETNS, invalid};
use crate::error::{CniError, Code};

/// An interface of a namespace.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Interface {
    /// Its index.
    pub(crate) index: u32,
    /// Whether it is up.
    pub(crate) up: bool,
    /// Its MAC address, as text.
    pub(crate) mac: String,
    /// Its MTU in bytes.
    pub(crate) mtu: u32,
    /// Its addresses with their prefix lengths, as text.
    pub(crate) addresses: Vec<String>,
    /// The gateways of default routes that lead out of it.
    pub(crate) gateways: Vec<IpAddr>,
}

/// Opens a container's namespace.
pub(crate) fn open(container: &Container) -> Result<Namespace, CniError> {
    let path = &container.netns;
    Namespace::open(Path::new(path)).map_err(|error| match &error {
        NetnsError::File { source, .. } if source.kind() == io::ErrorKind::NotFound => CniError::new(
            Code::UnknownContainer,
            format!("the container's network namespace {path} does not exist"),
            "nothing was made, and nothing has to be cleaned up",
        ),
        NetnsError::NotANamespace(_) => invalid(NETNS, path, "it is not a network namespace"),
        _ => CniError::new(Code::InvalidEnvironment, format!("can't open {NETNS}"), error.to_string()),
    })
}

/// Asks the kernel for an interface of a namespace; none if there is none of that name.
pub(crate) async fn interface(namespace: &Namespace, name: &str) -> Result<Option<Interface>, CniError> {
    let failed = |error: String| {
        CniError::new(Code::CheckFailed, "can't look into the container's network namespace", error)
    };
    let runtime = Runtime::current();
    let connected = namespace.run::<_, NetnsError>(|| {
        let _in_runtime = runtime.enter();
        rtnetlink::new_connection()
            .map_err(|source| NetnsError::System { action: "open a netlink socket", source })
    });
    let (connection, handle, _) = connected.map_err(|error| failed(error.to_string()))?;
    let connection = tokio::spawn(connection);
    let found = look(&handle, name).await.map_err(|error| failed(error.to_string()));
    connection.abort();
    found
}

async fn look(handle: &Handle, name: &str) -> Result<Option<Interface>, rtnetlink::Error> {
    let mut links = handle.link().get().execute();
    let mut found = None;
    while let Some(link) = links.next().await {
        let link = link?;
        let is_it =
            |attribute: &LinkAttribute| matches!(attribute, LinkAttribute::IfName(own) if own == name);
        if link.attributes.iter().any(is_it) {
            found = Some(link);
        }
    }
    let Some(link) = found else { return Ok(None) };
    let mut interface = Interface {
        index: link.header.index,
        up: link.header.flags.contains(LinkFlags::Up),
        ..Interface::default()
    };
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::Address(mac) => {
                interface.mac = mac.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":");
            }
            LinkAttribute::Mtu(mtu) => interface.mtu = *mtu,
            _ => {}
        }
    }
    let mut addresses = handle.address().get().set_link_index_filter(interface.index).execute();
    while let Some(address) = addresses.next().await {
        let address = address?;
        let prefix = address.header.prefix_len;
        let own = address.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Address(own) => Some(own),
            _ => None,
        });
        interface.addresses.extend(own.map(|own| format!("{own}/{prefix}")));
    }
    let families = [
        RouteMessageBuilder::<std::net::Ipv4Addr>::new().build(),
        RouteMessageBuilder::<std::net::Ipv6Addr>::new().build(),
    ];
    for family in families {
        let mut routes = handle.route().get(family).execute();
        while let Some(route) = routes.next().await {
            interface.gateways.extend(default_gateway(&route?, interface.index));
        }
    }
    Ok(Some(interface))
}

/// The gateway of a default route that leads out of an interface.
fn default_gateway(route: &RouteMessage, index: u32) -> Option<IpAddr> {
    let leads_out = route
        .attributes
        .iter()
        .any(|attribute| matches!(attribute, RouteAttribute::Oif(oif) if *oif == index));
    if route.header.destination_prefix_length != 0 || !leads_out {
        return None;
    }
    route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Gateway(RouteAddress::Inet(gateway)) => Some((*gateway).into()),
        RouteAttribute::Gateway(RouteAddress::Inet6(gateway)) => Some((*gateway).into()),
        _ => None,
    })
}
