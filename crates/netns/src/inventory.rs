//! Questions about a namespace, where speed does not matter: through rtnetlink, asynchronously.

use std::net::{Ipv4Addr, Ipv6Addr};

use enid_model::{GsoMaxSize, GsoMaxSizes};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use netlink_packet_route::route::{
    RouteAttribute, RouteHeader, RouteMessage, RouteMetric, RouteNextHop, RouteType,
};
use rtnetlink::RouteMessageBuilder;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_stream::StreamExt;

use crate::{Namespace, NetnsError};

/// A connection that answers questions about one namespace.
#[derive(Debug)]
pub struct Inventory {
    handle: rtnetlink::Handle,
    connection: JoinHandle<()>,
}

/// A link as the kernel lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its index in its namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its MTU in bytes.
    pub mtu: u32,
    /// The most that it takes in one segmented buffer.
    pub gso: GsoMaxSizes,
    /// What has passed through it.
    pub statistics: LinkStatistics,
}

/// The kernel's interface counters: socket buffers and layer-2 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LinkStatistics {
    /// Buffers received.
    pub rx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Buffers sent.
    pub tx_packets: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Buffers that could not be sent.
    pub tx_dropped: u64,
}

/// A way that a unicast route of the main table leads: one for each of its next hops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteOut {
    /// Whether it is of IPv4.
    pub is_ipv4: bool,
    /// How many bits of an address choose it; 0 of a default route.
    pub prefix: u8,
    /// Its metric: the least of those with the same destination is taken.
    pub metric: u32,
    /// The index of the link.
    pub link: u32,
    /// The MTU that the route itself names.
    pub mtu: Option<u32>,
}

impl Inventory {
    /// Opens a connection into a namespace. It needs a tokio runtime, and ends with the value.
    ///
    /// # Errors
    /// The namespace can't be entered, or the kernel gives no socket.
    pub fn open(namespace: &Namespace) -> Result<Self, NetnsError> {
        let runtime = Handle::current();
        let (connection, handle, _) = namespace.run(|| {
            let _in_runtime = runtime.enter();
            rtnetlink::new_connection().map_err(NetnsError::system("open a netlink socket"))
        })?;
        Ok(Self { handle, connection: tokio::spawn(connection) })
    }

    pub(crate) fn handle(&self) -> &rtnetlink::Handle {
        &self.handle
    }

    /// All links of a namespace, for a thread that may block, beside a runtime.
    ///
    /// # Errors
    /// The namespace can't be entered, or the kernel does not answer.
    pub fn list(namespace: &Namespace, runtime: &Handle) -> Result<Vec<Link>, NetnsError> {
        let inventory = Self::open_beside(namespace, runtime)?;
        runtime.block_on(inventory.links())
    }

    /// As [`open`](Self::open), for a thread that is beside the runtime.
    pub(crate) fn open_beside(namespace: &Namespace, runtime: &Handle) -> Result<Self, NetnsError> {
        let _in_runtime = runtime.enter();
        Self::open(namespace)
    }

    /// All links of the namespace.
    ///
    /// # Errors
    /// The kernel does not answer.
    pub async fn links(&self) -> Result<Vec<Link>, NetnsError> {
        Ok(self.messages().await?.iter().map(link).collect())
    }

    /// All links, as the kernel describes them.
    pub(crate) async fn messages(&self) -> Result<Vec<LinkMessage>, NetnsError> {
        let failed = |source| NetnsError::Inventory { action: "list links", source };
        let mut answers = self.handle.link().get().execute();
        let mut messages = Vec::new();
        while let Some(message) = answers.next().await {
            messages.push(message.map_err(failed)?);
        }
        Ok(messages)
    }

    /// The unicast routes of the namespace's main table, of both families.
    ///
    /// # Errors
    /// The kernel does not answer.
    pub async fn routes(&self) -> Result<Vec<RouteOut>, NetnsError> {
        let failed = |source| NetnsError::Inventory { action: "list routes", source };
        let families =
            [RouteMessageBuilder::<Ipv4Addr>::new().build(), RouteMessageBuilder::<Ipv6Addr>::new().build()];
        let mut routes = Vec::new();
        for family in families {
            let mut answers = self.handle.route().get(family).execute();
            while let Some(message) = answers.next().await {
                routes.extend(ways_of(&message.map_err(failed)?));
            }
        }
        Ok(routes)
    }

    /// One link, or nothing if there is no such.
    ///
    /// # Errors
    /// The kernel does not answer.
    pub async fn link(&self, index: u32) -> Result<Option<Link>, NetnsError> {
        let mut answers = self.handle.link().get().match_index(index).execute();
        match answers.next().await {
            Some(Ok(message)) => Ok(Some(link(&message))),
            None => Ok(None),
            Some(Err(rtnetlink::Error::NetlinkError(error))) if error.raw_code() == -libc::ENODEV => Ok(None),
            Some(Err(source)) => Err(NetnsError::Inventory { action: "look at a link", source }),
        }
    }
}

impl Drop for Inventory {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// What of a link's description is asked for.
pub(crate) fn link(message: &LinkMessage) -> Link {
    let mut link = Link {
        index: message.header.index,
        name: String::new(),
        mtu: 0,
        gso: GsoMaxSizes::LEGACY,
        statistics: LinkStatistics::default(),
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::GsoMaxSize(size) => link.gso.ipv6 = GsoMaxSize::nearest(*size),
            LinkAttribute::GsoIpv4MaxSize(size) => link.gso.ipv4 = GsoMaxSize::nearest(*size),
            LinkAttribute::Stats64(stats) => {
                link.statistics = LinkStatistics {
                    rx_packets: stats.rx_packets,
                    rx_bytes: stats.rx_bytes,
                    tx_packets: stats.tx_packets,
                    tx_bytes: stats.tx_bytes,
                    tx_dropped: stats.tx_dropped,
                };
            }
            _ => {}
        }
    }
    link
}

fn ways_of(message: &RouteMessage) -> Vec<RouteOut> {
    let header = &message.header;
    let mut table = u32::from(header.table);
    let (mut metric, mut mtu, mut links) = (0, None, Vec::new());
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Table(number) => table = *number,
            RouteAttribute::Priority(value) => metric = *value,
            RouteAttribute::Oif(index) => links.push(*index),
            RouteAttribute::MultiPath(hops) => {
                links.extend(hops.iter().map(|hop: &RouteNextHop| hop.interface_index));
            }
            RouteAttribute::Metrics(metrics) => {
                mtu = metrics.iter().find_map(|metric| match metric {
                    RouteMetric::Mtu(bytes) => Some(*bytes),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    if header.kind != RouteType::Unicast || table != u32::from(RouteHeader::RT_TABLE_MAIN) {
        return Vec::new();
    }
    let is_ipv4 = header.address_family == AddressFamily::Inet;
    let prefix = header.destination_prefix_length;
    links.into_iter().map(|link| RouteOut { is_ipv4, prefix, metric, link, mtu }).collect()
}
