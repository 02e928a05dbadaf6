//! The host's ways out: what leaves a VPC by the uplink `nat` goes on through them. They are not enid's, and never changed.

use enid_model::GsoMaxSizes;
use enid_netns::{Inventory, Link, Namespace, NetnsError, RouteOut};
use tokio::runtime::Handle;

use crate::uplink;

/// A device that a default route of the host leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WayOut {
    /// Its name.
    pub(crate) device: String,
    /// The largest packet in bytes that leaves by it: its MTU, or a smaller one that the route names.
    pub(crate) mtu: u32,
    /// The most that it takes in one segmented buffer.
    pub(crate) gso: GsoMaxSizes,
}

impl WayOut {
    /// Those of the host whose namespace the calling thread is in. It blocks.
    pub(crate) fn list(runtime: &Handle) -> Result<Vec<Self>, NetnsError> {
        let host = Namespace::own()?;
        let inventory = {
            let _in_runtime = runtime.enter();
            Inventory::open(&host)?
        };
        let (routes, links) = runtime
            .block_on(async { Ok::<_, NetnsError>((inventory.routes().await?, inventory.links().await?)) })?;
        Ok(choose(&routes, &links))
    }
}

/// The default routes that the kernel takes, of each family the ones with the least metric.
fn choose(routes: &[RouteOut], links: &[Link]) -> Vec<WayOut> {
    let mut ways = Vec::<WayOut>::new();
    for is_ipv4 in [true, false] {
        let defaults = routes.iter().filter(|route| route.prefix == 0 && route.is_ipv4 == is_ipv4);
        let Some(least) = defaults.clone().map(|route| route.metric).min() else { continue };
        for route in defaults.filter(|route| route.metric == least) {
            let Some(link) = links.iter().find(|link| link.index == route.link) else { continue };
            if link.name.starts_with(uplink::HOST_END) {
                continue;
            }
            let mtu = route.mtu.map_or(link.mtu, |mtu| mtu.min(link.mtu));
            match ways.iter_mut().find(|way| way.device == link.name) {
                Some(way) => way.mtu = way.mtu.min(mtu),
                None => ways.push(WayOut { device: link.name.clone(), mtu, gso: link.gso }),
            }
        }
    }
    ways
}

#[cfg(test)]
mod tests {
    use enid_netns::LinkStatistics;

    use super::*;

    fn link(index: u32, name: &str, mtu: u32) -> Link {
        let statistics = LinkStatistics::default();
        Link { index, name: name.to_owned(), mtu, gso: GsoMaxSizes::LEGACY, statistics }
    }

    fn route(is_ipv4: bool, prefix: u8, metric: u32, link: u32) -> RouteOut {
        RouteOut { is_ipv4, prefix, metric, link, mtu: None }
    }

    fn names(ways: &[WayOut]) -> Vec<(&str, u32)> {
        ways.iter().map(|way| (way.device.as_str(), way.mtu)).collect()
    }

    #[test]
    fn a_way_out_is_what_a_default_route_leads_to() {
        let links =
            [link(1, "lo", 65536), link(2, "eth0", 9001), link(3, "wlan0", 1500), link(4, "wg0", 1420)];
        let wired = [route(true, 0, 100, 2), route(true, 0, 600, 3), route(true, 16, 0, 4)];
        assert_eq!(names(&choose(&wired, &links)), [("eth0", 9001)]);
        // Each family has its own, and both hops of one route count.
        let both = [route(true, 0, 0, 2), route(false, 0, 1024, 3), route(false, 0, 1024, 4)];
        assert_eq!(names(&choose(&both, &links)), [("eth0", 9001), ("wlan0", 1500), ("wg0", 1420)]);
        assert_eq!(choose(&[route(true, 24, 0, 2)], &links), []);
    }

    #[test]
    fn a_route_may_name_a_smaller_mtu() {
        let links = [link(2, "eth0", 9001)];
        let narrow = RouteOut { mtu: Some(1400), ..route(false, 0, 0, 2) };
        assert_eq!(names(&choose(&[route(true, 0, 0, 2), narrow], &links)), [("eth0", 1400)]);
        let wide = RouteOut { mtu: Some(9600), ..route(true, 0, 0, 2) };
        assert_eq!(names(&choose(&[wide], &links)), [("eth0", 9001)]);
    }
}
