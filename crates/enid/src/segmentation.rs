//! How large a buffer a task's TCP may hand on to its ENI: beyond 64 KiB (BIG TCP) where that pays.
//!
//! Between ENIs of one host a buffer stays whole, and what each costs is paid for more bytes: a stream takes a third of
//! the CPU time. What leaves the host is cut into packets in the end. A device that takes no more than 64 KiB has the
//! kernel cut larger ones, which costs more than the device's own way (twice the CPU time measured), so ENIs with a way
//! out have what that takes, and no more, unless the configuration says so.

use std::sync::OnceLock;

use enid_datapath::Forwarding;
use enid_model::{GsoMaxSize, GsoMaxSizes, Uplink, Vpc};
use tokio::runtime::Handle;

use crate::kernel::Version;
use crate::way_out::WayOut;

/// The Linux that brought sizes beyond 64 KiB for IPv4.
const IPV4: Version = Version(6, 3);

/// The Linux that routes such sizes of IPv6. Before, the kernel marks such a buffer with a hop-by-hop header that never
/// reaches the wire, but counts it when it compares a packet with the MTU on the way: it answers "packet too big" with
/// the MTU that the sender knows already, for ever.
const IPV6: Version = Version(7, 0);

/// The Linux that brought them for IPv6, for whoever does not route them.
const IPV6_UNROUTED: Version = Version(5, 19);

/// The largest buffers that this kernel routes.
pub(crate) fn routed(kernel: Option<Version>) -> GsoMaxSizes {
    let since = |version| if kernel >= Some(version) { GsoMaxSize::MAX } else { GsoMaxSize::LEGACY };
    GsoMaxSizes { ipv4: since(IPV4), ipv6: since(IPV6) }
}

/// What ENIs are given.
#[derive(Debug)]
pub(crate) struct Segmentation {
    wanted: Option<GsoMaxSize>,
    forwarding: Forwarding,
    kernel: Option<Version>,
    runtime: Handle,
    /// What every way out of the host takes, as it was when an ENI first had to know.
    way_out: OnceLock<GsoMaxSizes>,
}

impl Segmentation {
    /// `wanted` is what the configuration says.
    pub(crate) const fn new(
        wanted: Option<GsoMaxSize>,
        forwarding: Forwarding,
        kernel: Option<Version>,
        runtime: Handle,
    ) -> Self {
        Self { wanted, forwarding, kernel, runtime, way_out: OnceLock::new() }
    }

    /// The sizes of a new ENI of a VPC. For the first that has a way out it looks at the host's, and blocks.
    pub(crate) fn of(&self, vpc: &Vpc) -> GsoMaxSizes {
        let mut most = routed(self.kernel);
        match (self.wanted, vpc.uplink) {
            (Some(size), uplink) => {
                let unrouted = uplink == Uplink::None && self.forwarding == Forwarding::Direct;
                // Not unasked: whatever routes IPv6 inside of a task meets the same fault of the kernel.
                if unrouted && self.kernel >= Some(IPV6_UNROUTED) {
                    most.ipv6 = GsoMaxSize::MAX;
                }
                most.min(GsoMaxSizes { ipv4: size, ipv6: size })
            }
            (None, Uplink::None) => most,
            (None, Uplink::Nat) => most.min(self.way_out()),
        }
    }

    fn way_out(&self) -> GsoMaxSizes {
        *self.way_out.get_or_init(|| {
            let ways = WayOut::list(&self.runtime).unwrap_or_else(|error| {
                tracing::warn!(%error, "the host's ways out are not known: ENIs with an uplink get no BIG TCP");
                Vec::new()
            });
            ways.iter().map(|way| way.gso).reduce(GsoMaxSizes::min).unwrap_or(GsoMaxSizes::LEGACY)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_routes_what_it_knows() {
        let bytes = |kernel| (routed(kernel).ipv4.get(), routed(kernel).ipv6.get());
        assert_eq!(bytes(None), (65_536, 65_536));
        assert_eq!(bytes(Some(Version(6, 2))), (65_536, 65_536));
        assert_eq!(bytes(Some(Version(6, 3))), (524_280, 65_536));
        assert_eq!(bytes(Some(Version(6, 18))), (524_280, 65_536));
        assert_eq!(bytes(Some(Version(7, 0))), (524_280, 524_280));
    }
}
