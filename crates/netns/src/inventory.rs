//! Questions about a namespace, where speed does not matter: through rtnetlink, asynchronously.

use netlink_packet_route::link::{LinkAttribute, LinkMessage};
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
        statistics: LinkStatistics::default(),
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
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
