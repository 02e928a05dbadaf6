//! The kernel's side of an ENI: how it is born, attached, and taken away.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd};

use enid_datapath::{Datapath, DatapathError, EniSettings};
use enid_model::{Eni, EniNumber, GsoMaxSizes, MacAddress, Mtu, Subnet};
use enid_netns::{Hook, LinkEnd, Namespace, Netlink, NetnsError, Request, RouteKind, sysctl};

use crate::router::{LOOPBACK, Router};
use crate::{EnidError, policy};

/// The ENI's name in the task's namespace.
const TASK_END: &str = "eth0";

/// The link group of host ends that wait to be deleted, "enid" in hexadecimal digits of ASCII.
pub(crate) const DELETED_GROUP: u32 = 0x656e_6964;

/// Instance metadata, which a task must not reach (<https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html>).
/// The programs drop what goes there; in enid's own namespaces routes tell the sender at once. In an adopted one they
/// would stay behind.
const INSTANCE_METADATA: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// A task's namespace, and a socket in it.
#[derive(Debug)]
pub(crate) struct TaskNamespace {
    pub(crate) namespace: Namespace,
    netlink: Netlink,
    /// Whether enid made it, and so brings `lo` up.
    own: bool,
}

impl TaskNamespace {
    /// A new one without a name, set up as far as can be without knowing whose it will be.
    pub(crate) fn create() -> Result<Self, NetnsError> {
        let (namespace, netlink) = Namespace::create(|| {
            quieten("default")?;
            let mut netlink = Netlink::open()?;
            let mut requests = vec![Request::Up { index: LOOPBACK }];
            requests.extend(INSTANCE_METADATA.map(|destination| Request::Route {
                destination,
                prefix: host_prefix(destination),
                kind: RouteKind::Unreachable,
                source: None,
            }));
            netlink.send(&requests)?;
            Ok::<_, NetnsError>(netlink)
        })?;
        Ok(Self { namespace, netlink, own: true })
    }

    /// One that somebody else made.
    pub(crate) fn adopt(namespace: Namespace) -> Result<Self, NetnsError> {
        let netlink = namespace.run::<_, NetnsError>(Netlink::open)?;
        Ok(Self { namespace, netlink, own: false })
    }
}

/// Turns off what an ENI has no use for and a task would wait for: router advertisements and address detection. `link` is
/// a name, or `default` for all that come later.
fn quieten(link: &str) -> Result<(), NetnsError> {
    sysctl::set(&format!("ipv6/conf/{link}/accept_ra"), "0")?;
    sysctl::set(&format!("ipv6/conf/{link}/accept_dad"), "0")
}

/// The link of an ENI that is to be made.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Link {
    /// There is none yet. It is to take buffers of these sizes.
    New(GsoMaxSizes),
    /// It was [prepared](prepare).
    Ready,
}

/// Makes the link of an ENI to come, born in both namespaces at once, with the programs on it. They let nothing pass before
/// they are told of the ENI, and there is no carrier before the task's end is up.
///
/// On an error, what was made goes with the task's namespace.
pub(crate) fn prepare(
    number: EniNumber,
    mac: MacAddress,
    mtu: Mtu,
    gso: GsoMaxSizes,
    router: &Router,
    datapath: &Datapath,
    task: &TaskNamespace,
) -> Result<(), NetnsError> {
    router.netlink().send(&new_link(number, mac, mtu, gso, &task.namespace, datapath))
}

/// Makes an ENI: its link, born in both namespaces at once; the programs on it, before it is up; its addresses, routes
/// and neighbours on either side.
///
/// On an error, what was made is still there: [`stop`] and [`delete_marked`] take it away.
pub(crate) fn create(
    eni: &Eni,
    link: Link,
    subnet: &Subnet,
    router: &Router,
    datapath: &Datapath,
    flow_limit: u32,
    task: &mut TaskNamespace,
) -> Result<(), EnidError> {
    // The programs find their ENI configured before they see a packet, and others know it as a member of its groups.
    policy::join(datapath, eni)?;
    datapath.open_eni(&settings(eni, flow_limit))?;
    let mut requests = match link {
        Link::New(gso) => new_link(eni.number, eni.mac, eni.mtu, gso, &task.namespace, datapath).into(),
        Link::Ready => Vec::new(),
    };
    requests.extend(router_side(eni, subnet));
    router.netlink().send(&requests)?;
    if !task.own {
        task.namespace.run(|| quieten(TASK_END))?;
    }
    task.netlink.send(&task_side(eni, subnet))?;
    // What comes for the task from here on arrives.
    Ok(router.netlink().settle(&host_end(eni.number))?)
}

/// What the programs are told of an ENI, which may have so many flow entries.
pub(crate) fn settings(eni: &Eni, flow_limit: u32) -> EniSettings {
    EniSettings {
        ipv4: eni.addresses.ipv4,
        ipv6: eni.addresses.ipv6,
        groups: eni.security_groups.clone(),
        flow_limit,
        ..EniSettings::new(eni.number, eni.mac, eni.mtu).with_idle_timeouts(&eni.idle_timeouts)
    }
}

/// The name of an ENI's host end.
pub(crate) fn host_end(number: EniNumber) -> String {
    format!("eni{number}")
}

/// What the VPC's router is asked for first: the link, with the programs on its host end before it comes up.
fn new_link(
    number: EniNumber,
    mac: MacAddress,
    mtu: Mtu,
    gso: GsoMaxSizes,
    task: &Namespace,
    datapath: &Datapath,
) -> [Request; 5] {
    let (index, mtu) = (number.get(), mtu.get());
    [
        Request::NewVeth {
            end: LinkEnd {
                name: host_end(number),
                index: Some(index),
                mac: Some(MacAddress::ROUTER),
                mtu,
                gso,
                namespace: None,
            },
            peer: LinkEnd {
                name: TASK_END.to_owned(),
                index: Some(index),
                mac: Some(mac),
                mtu,
                gso,
                namespace: Some(task.as_fd().as_raw_fd()),
            },
        },
        Request::Clsact { index },
        Request::classifier(index, Hook::Ingress, datapath.from_eni(), "from_eni"),
        Request::classifier(index, Hook::Egress, datapath.to_eni(), "to_eni"),
        Request::Up { index },
    ]
}

/// What the VPC's router is asked for then: the way to the ENI's addresses.
fn router_side(eni: &Eni, subnet: &Subnet) -> Vec<Request> {
    let index = eni.number.get();
    let mut requests = vec![Request::AlternativeName { index, name: eni.id.to_string() }];
    for (address, source) in addresses_and_gateways(eni, subnet) {
        requests.push(Request::Route {
            destination: address,
            prefix: host_prefix(address),
            kind: RouteKind::Device(index),
            // Errors about this ENI's packets come from its own subnet's gateway.
            source,
        });
        requests.push(Request::Neighbour { index, address, mac: eni.mac });
    }
    requests
}

/// The ENI's addresses, each with the router's in the same subnet and family.
fn addresses_and_gateways(eni: &Eni, subnet: &Subnet) -> impl Iterator<Item = (IpAddr, Option<IpAddr>)> {
    let ipv4 = subnet.ipv4_gateway().map(IpAddr::V4);
    let ipv6 = subnet.ipv6_router_address().map(IpAddr::V6);
    eni.addresses.iter().map(move |address| (address, if address.is_ipv4() { ipv4 } else { ipv6 }))
}

fn host_prefix(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// What the task's namespace is asked for: addresses, gateways, the link up. As much as can be comes before the link is
/// up: from then on the kernel is busy with it in the background, under the lock that these requests need.
fn task_side(eni: &Eni, subnet: &Subnet) -> Vec<Request> {
    let index = eni.number.get();
    let mut requests = Vec::new();
    let mut routes = Vec::new();
    let mut gateway = |gateway: IpAddr, everywhere: IpAddr, requests: &mut Vec<Request>| {
        requests.push(Request::Neighbour { index, address: gateway, mac: MacAddress::ROUTER });
        let kind = RouteKind::Gateway(index, gateway);
        routes.push(Request::Route { destination: everywhere, prefix: 0, kind, source: None });
    };
    if let (Some(address), Some(cidr)) = (eni.addresses.ipv4, subnet.ipv4_cidr) {
        requests.push(Request::Address { index, address: address.into(), prefix: cidr.prefix() });
        if let Some(router) = subnet.ipv4_gateway() {
            gateway(router.into(), Ipv4Addr::UNSPECIFIED.into(), &mut requests);
        }
    }
    if let Some(address) = eni.addresses.ipv6 {
        gateway(Subnet::IPV6_GATEWAY.into(), Ipv6Addr::UNSPECIFIED.into(), &mut requests);
        requests.push(Request::Address { index, address: address.into(), prefix: 128 });
        // The kernel takes the address in by itself, but in a queue of its own (addrconf), under the lock that these
        // requests need: until then it drops what comes for it.
        let kind = RouteKind::Local(index);
        routes.push(Request::Route { destination: address.into(), prefix: 128, kind, source: None });
    }
    requests.push(Request::Up { index });
    requests.extend(routes);
    requests
}

/// Stops an ENI's traffic, so that its addresses can be given to another, and marks its link for deletion. It is quick;
/// the link itself goes with [`delete_marked`].
pub(crate) fn stop(eni: &Eni, router: Option<&Router>, datapath: &Datapath) -> Result<(), EnidError> {
    match datapath.close_eni(eni.number) {
        // It never came so far as to be opened.
        Err(DatapathError::UnknownEni(_)) => {}
        closed => closed?,
    }
    let Some(router) = router else { return Ok(()) };
    let index = eni.number.get();
    let mut requests: Vec<Request> = eni
        .addresses
        .iter()
        .map(|destination| Request::DeleteRoute { destination, prefix: host_prefix(destination), index })
        .collect();
    requests.push(Request::Group { index, group: DELETED_GROUP });
    router.netlink().send_removals(&requests)?;
    Ok(())
}

/// Deletes the links in a router that are marked for deletion, all for the price of one.
pub(crate) fn delete_marked(router: &Router) -> Result<(), EnidError> {
    router.netlink().send_removals(&[Request::DeleteGroup { group: DELETED_GROUP }])?;
    Ok(())
}

/// Replaces the programs on an ENI's link by this daemon's, without a packet passing in between that neither sees.
pub(crate) fn upgrade(number: EniNumber, router: &Router, datapath: &Datapath) -> Result<(), NetnsError> {
    let index = number.get();
    let classifiers = [
        Request::classifier(index, Hook::Ingress, datapath.from_eni(), "from_eni"),
        Request::classifier(index, Hook::Egress, datapath.to_eni(), "to_eni"),
    ];
    let mut netlink = router.netlink();
    netlink.send(&classifiers).or_else(|_| {
        // Somebody removed the place that they attach to.
        netlink.send(&[Request::Clsact { index }])?;
        netlink.send(&classifiers)
    })
}
