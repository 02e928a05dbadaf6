//! Veth pairs seen from one of their ends.
//!
//! The kernel says in which namespace a link's other end is by an id that is good in the asking namespace
//! (`IFLA_LINK_NETNSID`, Linux 4.0), and answers questions about links there (`IFLA_IF_NETNSID`, Linux 4.15). So the
//! other end is found wherever it was moved, whatever its namespace is called by now, and nobody has to enter there.

use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use tokio::runtime::Handle;
use tokio_stream::StreamExt;

use crate::inventory::{self, Inventory, LinkStatistics};
use crate::{Namespace, NetnsError};

/// What has passed through both ends of a veth pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VethPair {
    /// The index of the end that is in the namespace.
    pub index: u32,
    /// The counters of that end.
    pub near: LinkStatistics,
    /// Those of the other end, in its namespace; none if the kernel does not tell.
    pub far: Option<LinkStatistics>,
}

impl Inventory {
    /// The wanted veth pairs that a namespace has one end of, for a thread that may block, beside a runtime. `is_wanted`
    /// is asked by index.
    ///
    /// # Errors
    /// The namespace can't be entered, or the kernel does not answer.
    pub fn list_pairs(
        namespace: &Namespace,
        runtime: &Handle,
        is_wanted: impl Fn(u32) -> bool,
    ) -> Result<Vec<VethPair>, NetnsError> {
        let inventory = Self::open_beside(namespace, runtime)?;
        runtime.block_on(async {
            let mut pairs = Vec::new();
            for message in inventory.messages().await? {
                if is_wanted(message.header.index) {
                    let link = inventory::link(&message);
                    let far = inventory.far_end(&message).await;
                    pairs.push(VethPair { index: link.index, near: link.statistics, far });
                }
            }
            Ok(pairs)
        })
    }

    /// The counters of a link's other end.
    async fn far_end(&self, message: &LinkMessage) -> Option<LinkStatistics> {
        let mut index = None;
        let mut namespace = None;
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::Link(other) => index = Some(*other),
                LinkAttribute::LinkNetNsId(id) => namespace = Some(*id),
                _ => {}
            }
        }
        let mut request = self.handle().link().get().match_index(index?);
        request.message_mut().attributes.push(LinkAttribute::IfNetnsId(namespace?));
        // It may be gone by now.
        let answer = request.execute().next().await?;
        answer.ok().map(|message| inventory::link(&message).statistics)
    }
}
