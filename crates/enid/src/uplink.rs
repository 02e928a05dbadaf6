//! The uplink `nat`: a VPC's way out through the host, masqueraded.
//!
//! Two VPCs may have the same addresses, so a VPC's packets never reach the host with them: its own router masquerades
//! them behind a transit address that is unique on the host, in the router's own connection tracking, and the host
//! masquerades transit addresses behind its own. The host needs no policy routing and no mark, and sees no address of
//! a VPC.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd};
use std::process::{Command, Stdio};

use enid_model::{MacAddress, Mtu, Subnet, Vpc};
use enid_netns::{LinkEnd, Namespace, Netlink, Request, RouteKind, sysctl};

use crate::EnidError;
use crate::kernel::Version;
use crate::segmentation::routed;

/// How host ends are called, with the uplink's number after it. The host's firewall table knows them by it.
pub(crate) const HOST_END: &str = "enid-vpc";
/// The uplink's name in the router's namespace.
const ROUTER_END: &str = "uplink";
/// Its index there: the same in every router, and below every ENI's number.
pub(crate) const ROUTER_INDEX: u32 = 999_999;
/// Indexes of host ends: this and the uplink's number. Below ENI numbers, above what the kernel gives out.
const HOST_INDEX_BASE: u32 = 900_000;

/// The MTU of the router's end. ENIs send at most 9,001 bytes, and what is too large for the host's way out the host
/// refuses; the 8 above are for the hop-by-hop header that kernels before 7.0 mark segmented buffers of more than 65,535
/// bytes with over IPv6. It is taken off on this link, but routing counts it in each segment, and would refuse a
/// segment of 9,001 bytes that needs no refusal.
const ROUTER_MTU: u32 = Mtu::JUMBO.get() + 8;

/// The transit addresses of one uplink: a pair of each family, the host's end and the router's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Transit {
    number: u16,
}

impl Transit {
    /// How many uplinks there are addresses for: 169.254.64.0/18 in pairs.
    pub(crate) const COUNT: u16 = 8192;
    /// Every IPv4 transit address. Link-local (RFC 3927), since they mean nothing beyond the host; the block is clear
    /// of the 169.254.169.0/24 and 169.254.170.0/24 that hold link-local services.
    const IPV4_BLOCK: &'static str = "169.254.64.0/18";
    /// Every IPv6 transit address: unique-local (RFC 4193).
    const IPV6_BLOCK: &'static str = "fd65:6e69:64ff::/64";
    /// Its first address.
    pub(crate) const IPV6_NETWORK: Ipv6Addr = Ipv6Addr::new(0xfd65, 0x6e69, 0x64ff, 0, 0, 0, 0, 0);

    fn ipv4(self, end: u16) -> Ipv4Addr {
        let base = u32::from(Ipv4Addr::new(169, 254, 64, 0));
        Ipv4Addr::from(base + u32::from(self.number) * 2 + u32::from(end))
    }

    fn ipv6(self, end: u16) -> Ipv6Addr {
        Ipv6Addr::new(0xfd65, 0x6e69, 0x64ff, 0, 0, 0, self.number, end)
    }

    fn host(self) -> [(IpAddr, u8); 2] {
        [(self.ipv4(0).into(), 31), (self.ipv6(0).into(), 127)]
    }

    fn router(self) -> [(IpAddr, u8); 2] {
        [(self.ipv4(1).into(), 31), (self.ipv6(1).into(), 127)]
    }

    fn host_index(self) -> u32 {
        HOST_INDEX_BASE + u32::from(self.number)
    }

    fn host_name(self) -> String {
        format!("{HOST_END}{}", self.number)
    }
}

/// Connects a VPC's router to the host.
pub(crate) fn connect(vpc: &Vpc, number: u16, router: &Namespace) -> Result<(), EnidError> {
    let transit = Transit { number };
    forward_on_host()?;
    load_rules(&host_rules())?;
    // What an earlier daemon may have left under this number.
    remove_host_end(number)?;
    let mut host = Netlink::open()?;
    // What is cut into packets on the way out is best cut as late as possible.
    let gso = routed(Version::running());
    // Each end knows the other's: nobody asks on this link, and nobody's first packet waits.
    let (host_mac, router_mac) = (MacAddress::random(), MacAddress::random());
    let mut requests = vec![Request::NewVeth {
        end: LinkEnd {
            name: transit.host_name(),
            index: Some(transit.host_index()),
            mac: Some(host_mac),
            mtu: Mtu::JUMBO.get(),
            gso,
            namespace: None,
        },
        peer: LinkEnd {
            name: ROUTER_END.to_owned(),
            index: Some(ROUTER_INDEX),
            mac: Some(router_mac),
            mtu: ROUTER_MTU,
            gso,
            namespace: Some(router.as_fd().as_raw_fd()),
        },
    }];
    let index = transit.host_index();
    requests.extend(transit.host().map(|(address, prefix)| Request::Address { index, address, prefix }));
    requests.push(Request::Up { index });
    for (address, _) in transit.router() {
        requests.push(Request::Neighbour { index, address, mac: router_mac });
        // What is answered from outside goes back to the router.
        let prefix = if address.is_ipv4() { 32 } else { 128 };
        requests.push(Request::Route {
            destination: address,
            prefix,
            kind: RouteKind::Device(index),
            source: None,
        });
    }
    host.send(&requests)?;
    router.run(|| {
        let index = ROUTER_INDEX;
        let mut requests = Vec::new();
        requests.extend(transit.router().map(|(address, prefix)| Request::Address {
            index,
            address,
            prefix,
        }));
        requests.push(Request::Up { index });
        for (address, _) in transit.host() {
            requests.push(Request::Neighbour { index, address, mac: host_mac });
            let everywhere =
                if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
            let kind = RouteKind::Gateway(index, address);
            requests.push(Request::Route { destination: everywhere, prefix: 0, kind, source: None });
        }
        sysctl::set(&format!("ipv4/conf/{ROUTER_END}/proxy_arp"), "0")?;
        Netlink::open()?.send(&requests)?;
        load_rules(&router_rules(vpc))
    })?;
    // The first answer from outside arrives, too.
    Ok(host.settle(&transit.host_name())?)
}

/// Connects a VPC's router again if its link is gone from the host, or else loads the host's rules again, which is no
/// change if they are there.
pub(crate) fn mend(vpc: &Vpc, number: u16, router: &Namespace) -> Result<(), EnidError> {
    if is_connected(number)? {
        return load_rules(&host_rules());
    }
    tracing::warn!(vpc = %vpc.id, "the VPC's uplink is gone from the host: making it anew");
    connect(vpc, number, router)
}

/// Whether the host end of an uplink is there.
pub(crate) fn is_connected(number: u16) -> Result<bool, EnidError> {
    let name = Transit { number }.host_name();
    Ok(interfaces()?.contains(&name))
}

/// Takes a VPC's router off the host, and its masquerading away.
pub(crate) fn disconnect(number: u16, router: &Namespace) -> Result<(), EnidError> {
    remove_host_end(number)?;
    router.run(|| load_rules(REMOVE_RULES))
}

/// Removes the host end of an uplink, and its other end with it.
pub(crate) fn remove_host_end(number: u16) -> Result<(), EnidError> {
    let index = Transit { number }.host_index();
    Netlink::open()?.send_removals(&[Request::DeleteLink { index }])?;
    Ok(())
}

/// Removes enid's firewall table from the host, if it is there.
pub(crate) fn remove_host_rules() -> Result<(), EnidError> {
    load_rules(REMOVE_RULES)
}

/// Lets the host forward. An interface that takes router advertisements would stop doing so when IPv6 forwarding is
/// turned on (kernel documentation, ip-sysctl, accept_ra), and the host might lose its own way out: such are told to go on.
fn forward_on_host() -> Result<(), EnidError> {
    if sysctl::get("ipv4/ip_forward")? != "1" {
        tracing::warn!("turning IPv4 forwarding on, which the uplink nat needs");
        sysctl::set("ipv4/ip_forward", "1")?;
    }
    if sysctl::get("ipv6/conf/all/forwarding")? != "1" {
        tracing::warn!("turning IPv6 forwarding on, which the uplink nat needs");
        for interface in interfaces()? {
            let key = format!("ipv6/conf/{interface}/accept_ra");
            if sysctl::get(&key).is_ok_and(|value| value == "1") {
                sysctl::set(&key, "2")?;
            }
        }
        sysctl::set("ipv6/conf/all/forwarding", "1")?;
    }
    Ok(())
}

fn interfaces() -> Result<Vec<String>, EnidError> {
    let folder = "/proc/sys/net/ipv6/conf";
    let failed = || EnidError::file("list", folder);
    let entries = std::fs::read_dir(folder).map_err(failed())?;
    let names = entries.map(|entry| Ok(entry.map_err(failed())?.file_name().to_string_lossy().into_owned()));
    names.collect()
}

/// Removes enid's table, whether it is there or not: naming it first makes it if it is not.
const REMOVE_RULES: &str = "table inet enid\ndelete table inet enid\n";

/// enid's own table on the host. Transit addresses leave behind the host's own; VPCs don't reach each other, nor the
/// host beyond the echo that it gives anybody who asks whether it is there; and nobody reaches a router, whose address
/// the host knows a route to, but to answer.
fn host_rules() -> String {
    let (ipv4, ipv6) = (Transit::IPV4_BLOCK, Transit::IPV6_BLOCK);
    format!(
        "\
{REMOVE_RULES}table inet enid {{
    chain input {{
        type filter hook input priority filter;
        iifname \"{HOST_END}*\" ct state established,related accept
        iifname \"{HOST_END}*\" icmp type echo-request accept
        iifname \"{HOST_END}*\" icmpv6 type {{ echo-request, nd-neighbor-solicit, nd-neighbor-advert }} accept
        iifname \"{HOST_END}*\" drop
    }}
    chain forward {{
        type filter hook forward priority filter;
        iifname \"{HOST_END}*\" oifname \"{HOST_END}*\" drop
        oifname \"{HOST_END}*\" ct state != {{ established, related }} drop
    }}
    chain postrouting {{
        type nat hook postrouting priority srcnat;
        oifname != \"{HOST_END}*\" ip saddr {ipv4} masquerade
        oifname != \"{HOST_END}*\" ip6 saddr {ipv6} masquerade
    }}
}}
"
    )
}

/// What a router says of a packet that it does not forward: ICMP (RFC 792) and ICMPv6 (RFC 4443).
const ICMP_ERRORS: &str = "icmp type { destination-unreachable, time-exceeded, parameter-problem }";
const ICMPV6_ERRORS: &str =
    "icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem }";

/// Brings the rules of a VPC's router in line with what is declared of the VPC.
pub(crate) fn update(vpc: &Vpc, router: &Namespace) -> Result<(), EnidError> {
    router.run(|| load_rules(&router_rules(vpc)))
}

/// A router's table. What stays in the VPC is not tracked: it needs no translation, and tracking costs. Errors that the
/// host reports (a packet that is too large for its way out, no way at all) reach an ENI as its own gateway's: nobody in
/// a VPC needs to know of transit addresses.
fn router_rules(vpc: &Vpc) -> String {
    let ipv4 =
        vpc.ipv4_cidr.map(|cidr| format!("        iifname != \"{ROUTER_END}\" ip daddr {cidr} notrack\n"));
    let ipv6 =
        vpc.ipv6_cidr.map(|cidr| format!("        iifname != \"{ROUTER_END}\" ip6 daddr {cidr} notrack\n"));
    let untracked: String = ipv4.into_iter().chain(ipv6).collect();
    let errors = |ip: &str, block: &str, icmp: &str, gateways: &str| {
        format!("        {ip} saddr {block} {icmp} {ip} saddr set {ip} daddr map {{ {gateways} }}\n")
    };
    let ipv4 =
        gateways_of(vpc, |subnet| Some((subnet.ipv4_cidr?.to_string(), subnet.ipv4_gateway()?.into())));
    let ipv4 = ipv4.map(|gateways| errors("ip", Transit::IPV4_BLOCK, ICMP_ERRORS, &gateways));
    let ipv6 = gateways_of(vpc, |subnet| {
        Some((subnet.ipv6_cidr?.to_string(), subnet.ipv6_router_address()?.into()))
    });
    let ipv6 = ipv6.map(|gateways| errors("ip6", Transit::IPV6_BLOCK, ICMPV6_ERRORS, &gateways));
    let errors: String = ipv4.into_iter().chain(ipv6).collect();
    format!(
        "\
{REMOVE_RULES}table inet enid {{
    chain prerouting {{
        type filter hook prerouting priority raw;
{untracked}    }}
    chain forward {{
        type filter hook forward priority filter;
        iifname != \"{ROUTER_END}\" accept
{errors}    }}
    chain postrouting {{
        type nat hook postrouting priority srcnat;
        oifname \"{ROUTER_END}\" masquerade
    }}
}}
"
    )
}

/// The elements of a map from the block of each subnet to the router's address in it, in one family; nothing where no
/// subnet has one.
fn gateways_of(vpc: &Vpc, of: impl Fn(&Subnet) -> Option<(String, IpAddr)>) -> Option<String> {
    let elements = vpc.subnets.iter().filter_map(of).map(|(block, gateway)| format!("{block} : {gateway}"));
    let elements: Vec<String> = elements.collect();
    (!elements.is_empty()).then(|| elements.join(", "))
}

/// Loads rules in the calling thread's namespace, all of them or none.
fn load_rules(rules: &str) -> Result<(), EnidError> {
    let failed = |reason: String| EnidError::Program { program: "nft", reason };
    let mut child = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(format!("{error}; the uplink nat needs nftables installed")))?;
    if let Some(mut input) = child.stdin.take() {
        // A failure to write is one of nft's, which then says why.
        let _ = std::io::Write::write_all(&mut input, rules.as_bytes());
    }
    let output = child.wait_with_output().map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(failed(String::from_utf8_lossy(&output.stderr).trim().replace('\n', " ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transit_addresses_are_unique_and_in_their_blocks() {
        let ipv4: enid_model::Ipv4Cidr = Transit::IPV4_BLOCK.parse().unwrap();
        let ipv6: enid_model::Ipv6Cidr = Transit::IPV6_BLOCK.parse().unwrap();
        let mut seen = std::collections::HashSet::new();
        for number in 0..Transit::COUNT {
            let transit = Transit { number };
            for (address, _) in transit.host().into_iter().chain(transit.router()) {
                assert!(seen.insert(address));
                match address {
                    IpAddr::V4(address) => assert!(ipv4.contains(address)),
                    IpAddr::V6(address) => assert!(ipv6.contains(address)),
                }
            }
            assert!(transit.host_name().len() <= 15);
        }
    }
}
