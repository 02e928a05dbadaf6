//! VPC routers: a network namespace per VPC, whose kernel routes between its ENIs and out of its uplink.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use enid_model::{Networks, Subnet, Uplink, Vpc, VpcId};
use enid_netns::{Namespace, Netlink, NetnsError, Request, RouteKind, sysctl};
use enid_store::{RouterRecord, RunStore};

use crate::uplink::{self, Transit};
use crate::{EnidError, lock};

/// The index of `lo` in every namespace.
pub(crate) const LOOPBACK: u32 = 1;

/// A VPC's router.
#[derive(Debug)]
pub(crate) struct Router {
    record: RouterRecord,
    namespace: Namespace,
    netlink: Mutex<Netlink>,
}

impl Router {
    /// Its namespace.
    pub(crate) fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// A netlink socket into its namespace.
    pub(crate) fn netlink(&self) -> MutexGuard<'_, Netlink> {
        lock(&self.netlink)
    }

    /// Whose router it is.
    pub(crate) fn vpc(&self) -> VpcId {
        self.record.vpc
    }

    /// The number of its uplink on this host.
    pub(crate) fn uplink_number(&self) -> u16 {
        self.record.uplink_number
    }

    /// The path of its namespace.
    pub(crate) fn netns(&self) -> &Path {
        &self.record.netns
    }
}

/// The routers of this host, made when a VPC's first ENI needs one.
#[derive(Debug)]
pub(crate) struct Routers {
    store: Arc<RunStore>,
    netns_directory: PathBuf,
    by_vpc: Mutex<HashMap<VpcId, Arc<Router>>>,
}

impl Routers {
    /// Takes up the routers that an earlier daemon left. One whose namespace is gone is forgotten, and made anew when
    /// it is needed.
    pub(crate) fn restore(store: Arc<RunStore>, netns_directory: PathBuf) -> Result<Self, EnidError> {
        let mut routers = HashMap::new();
        for record in store.routers()? {
            let found =
                Namespace::open(&record.netns).ok().filter(|found| Some(found.id()) == record.namespace);
            if let Some(namespace) = found {
                routers.insert(record.vpc, Arc::new(open(record, namespace)?));
                continue;
            }
            tracing::warn!(vpc = %record.vpc, netns = %record.netns.display(), "the VPC router's namespace is gone");
            remove(&record)?;
            store.remove_router(record.vpc)?;
        }
        Ok(Self { store, netns_directory, by_vpc: Mutex::new(routers) })
    }

    /// Mends routers as far as somebody took something away, or an earlier daemon did not make it: addresses, routes, and
    /// of the way out the link on the host and the firewall's rules.
    pub(crate) fn mend(&self, networks: &Networks) {
        for router in self.all() {
            let Some(vpc) = networks.vpc_by_id(router.record.vpc) else { continue };
            let number = router.record.uplink_number;
            let configured = router.namespace.run(|| configure().and_then(|()| address(vpc)));
            if let Err(error) = configured {
                tracing::error!(vpc = %vpc.id, %error, "the VPC's router is broken");
            }
            if vpc.uplink == Uplink::Nat
                && let Err(error) = uplink::mend(vpc, number, &router.namespace)
            {
                tracing::error!(vpc = %vpc.id, %error, "the VPC's uplink is broken");
            }
        }
    }

    /// The router of a VPC, if it has one by now.
    pub(crate) fn get(&self, vpc: VpcId) -> Option<Arc<Router>> {
        lock(&self.by_vpc).get(&vpc).cloned()
    }

    /// All routers.
    pub(crate) fn all(&self) -> Vec<Arc<Router>> {
        lock(&self.by_vpc).values().cloned().collect()
    }

    /// The router of a VPC, made if there is none. It blocks.
    pub(crate) fn get_or_create(&self, vpc: &Vpc) -> Result<Arc<Router>, EnidError> {
        // Held while a router is made: two first ENIs of a VPC must not make two.
        let mut routers = lock(&self.by_vpc);
        if let Some(router) = routers.get(&vpc.id) {
            return Ok(Arc::clone(router));
        }
        let used: Vec<u16> = routers.values().map(|router| router.record.uplink_number).collect();
        let number =
            (0..Transit::COUNT).find(|number| !used.contains(number)).ok_or(EnidError::TooManyRouters)?;
        let netns = self.netns_directory.join(vpc.id.to_string());
        let mut record = RouterRecord { vpc: vpc.id, netns, namespace: None, uplink_number: number };
        self.store.put_router(&record)?;
        let namespace = match create(vpc, &record) {
            Ok(namespace) => namespace,
            Err(error) => {
                self.store.remove_router(vpc.id)?;
                return Err(error);
            }
        };
        record.namespace = Some(namespace.id());
        self.store.put_router(&record)?;
        tracing::info!(vpc = %vpc.id, netns = %record.netns.display(), "made the VPC router");
        let router = Arc::new(open(record, namespace)?);
        routers.insert(vpc.id, Arc::clone(&router));
        Ok(router)
    }

    /// Brings a VPC's router in line with what is declared of it, if it has one. It blocks.
    pub(crate) fn update(&self, old: &Vpc, new: &Vpc) -> Result<(), EnidError> {
        let Some(router) = self.get(new.id) else { return Ok(()) };
        router.namespace.run(|| address(new))?;
        if old.uplink != new.uplink {
            match new.uplink {
                Uplink::None => uplink::disconnect(router.record.uplink_number, &router.namespace)?,
                Uplink::Nat => uplink::connect(new, router.record.uplink_number, &router.namespace)?,
            }
        } else if new.uplink == Uplink::Nat {
            // A block or a subnet may have come.
            uplink::update(new, &router.namespace)?;
        }
        Ok(())
    }

    /// Takes a subnet's gateway addresses off its VPC's router: an ENI of a later subnet may have them.
    pub(crate) fn remove_subnet(&self, vpc: VpcId, subnet: &Subnet) -> Result<(), EnidError> {
        let Some(router) = self.get(vpc) else { return Ok(()) };
        let addresses = gateway_addresses(subnet);
        let requests: Vec<Request> = addresses
            .map(|(address, prefix)| Request::DeleteAddress { index: LOOPBACK, address, prefix })
            .collect();
        router.netlink().send_removals(&requests)?;
        Ok(())
    }

    /// Removes the router of a VPC that has no ENI, and all that is in it. It blocks.
    pub(crate) fn remove(&self, vpc: VpcId) -> Result<(), EnidError> {
        let mut routers = lock(&self.by_vpc);
        let Some(router) = routers.get(&vpc) else { return Ok(()) };
        remove(&router.record)?;
        self.store.remove_router(vpc)?;
        routers.remove(&vpc);
        Ok(())
    }
}

fn open(record: RouterRecord, namespace: Namespace) -> Result<Router, EnidError> {
    let netlink = namespace.run::<_, NetnsError>(Netlink::open)?;
    Ok(Router { record, namespace, netlink: Mutex::new(netlink) })
}

/// Takes away a router's namespace and its uplink, as far as they are there.
pub(crate) fn remove(record: &RouterRecord) -> Result<(), EnidError> {
    uplink::remove_host_end(record.uplink_number)?;
    match record.namespace {
        Some(own) => enid_netns::remove_name_of(&record.netns, own)?,
        // Its daemon ended while it was made.
        None => enid_netns::unmount(&record.netns)?,
    }
    Ok(())
}

fn create(vpc: &Vpc, record: &RouterRecord) -> Result<Namespace, EnidError> {
    let (namespace, ()) = Namespace::create::<_, EnidError>(|| {
        configure()?;
        address(vpc)
    })?;
    // If that fails, what has the name is somebody else's, and stays.
    namespace.bind(&record.netns)?;
    if vpc.uplink == Uplink::Nat
        && let Err(error) = uplink::connect(vpc, record.uplink_number, &namespace)
    {
        if let Err(leftover) = remove(record) {
            tracing::error!(vpc = %vpc.id, error = %leftover, "a router that could not be made left something behind");
        }
        return Err(error);
    }
    Ok(namespace)
}

/// Sets the kernel parameters of the router that the calling thread is in. Those under `default` are what its later
/// links are born with, so that no ENI costs a write.
fn configure() -> Result<(), EnidError> {
    let parameters = [
        ("ipv4/ip_forward", "1"),
        ("ipv6/conf/all/forwarding", "1"),
        ("ipv6/conf/default/forwarding", "1"),
        // A new namespace takes the initial one's IPv4 settings: the router must not depend on them.
        ("ipv4/conf/all/rp_filter", "0"),
        ("ipv4/conf/default/rp_filter", "0"),
        // As a router for the host's other purposes may have them: what comes from a task never becomes what the
        // router sends itself, and its author does not choose the way.
        ("ipv4/conf/all/route_localnet", "0"),
        ("ipv4/conf/default/route_localnet", "0"),
        ("ipv4/conf/all/accept_local", "0"),
        ("ipv4/conf/default/accept_local", "0"),
        ("ipv4/conf/all/accept_source_route", "0"),
        ("ipv4/conf/default/accept_source_route", "0"),
        ("ipv4/conf/all/send_redirects", "0"),
        ("ipv4/conf/default/send_redirects", "0"),
        ("ipv4/conf/all/accept_redirects", "0"),
        ("ipv4/conf/default/accept_redirects", "0"),
        ("ipv4/conf/default/forwarding", "1"),
        // A task's routes lead to its gateway, whose neighbour entry is permanent: it asks for nobody. Whoever asks all
        // the same, because its own routes say that its subnet is on the link, is told that the way is the router.
        ("ipv4/conf/default/proxy_arp", "1"),
        // For the same reason host ends need no address of their own.
        ("ipv6/conf/default/addr_gen_mode", "1"),
        ("ipv6/conf/default/accept_ra", "0"),
        ("ipv6/conf/default/accept_redirects", "0"),
        ("ipv6/conf/default/accept_dad", "0"),
    ];
    parameters.iter().try_for_each(|(key, value)| sysctl::set(key, value))?;
    Ok(())
}

/// What leaves no VPC: link-local IPv4 addresses (RFC 3927 section 2.7), among them the metadata services of clouds and
/// of the host's own agents; the link-local services' IPv6 addresses (Amazon EC2 User Guide, "Instance metadata"); and the
/// addresses between routers and host.
const NOT_BEYOND: [(IpAddr, u8); 3] = [
    (IpAddr::V4(Ipv4Addr::new(169, 254, 0, 0)), 16),
    (IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0)), 32),
    (IpAddr::V6(Transit::IPV6_NETWORK), 64),
];

const EVERYWHERE: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];

/// Gives the router that the calling thread is in its addresses: every subnet's gateway; what a VPC's blocks hold
/// beyond its ENIs is unreachable, and does not leave through the uplink. What no other route is for is unreachable by a
/// route, too: so the programs can tell it from what is for the router itself.
fn address(vpc: &Vpc) -> Result<(), EnidError> {
    let mut netlink = Netlink::open()?;
    let mut requests = vec![Request::Up { index: LOOPBACK }];
    let gateways = vpc.subnets.iter().flat_map(gateway_addresses);
    requests.extend(gateways.map(|(address, prefix)| Request::Address { index: LOOPBACK, address, prefix }));
    let blocks = vpc.ipv4_cidr.map(|cidr| (cidr.network().into(), cidr.prefix())).into_iter();
    let blocks = blocks.chain(vpc.ipv6_cidr.map(|cidr| (cidr.network().into(), cidr.prefix())));
    requests.extend(blocks.chain(NOT_BEYOND).map(|(destination, prefix)| Request::Route {
        destination,
        prefix,
        kind: RouteKind::Unreachable,
        source: None,
    }));
    requests.extend(EVERYWHERE.map(|destination| Request::Route {
        destination,
        prefix: 0,
        kind: RouteKind::LastResort,
        source: None,
    }));
    netlink.send(&requests)?;
    Ok(())
}

/// The router's addresses in a subnet, each alone in its block.
fn gateway_addresses(subnet: &Subnet) -> impl Iterator<Item = (IpAddr, u8)> + use<> {
    let ipv4 = subnet.ipv4_gateway().map(|address| (IpAddr::V4(address), 32));
    let ipv6 = subnet.ipv6_router_address().map(|address| (IpAddr::V6(address), 128));
    ipv4.into_iter().chain(ipv6)
}
