//! What a VPC does not log: what goes to and comes from its own services and its router, and the search for DHCP servers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use enid_datapath::{Direction, FlowReading};
use enid_model::{Subnet, Vpc};

const UDP: u8 = 17;
/// Where a client of DHCP looks for servers (RFC 2131): from which port to which, and to which address.
const DHCPV4: (u16, u16, IpAddr) = (68, 67, IpAddr::V4(Ipv4Addr::BROADCAST));
/// The same of DHCPv6 (RFC 8415): to all relay agents and servers.
const DHCPV6: (u16, u16, IpAddr) = (546, 547, IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2)));
/// DNS, instance metadata and time, at the same addresses in every VPC.
const IPV4_SERVICES: [Ipv4Addr; 3] =
    [Ipv4Addr::new(169, 254, 169, 253), Ipv4Addr::new(169, 254, 169, 254), Ipv4Addr::new(169, 254, 169, 123)];
const IPV6_SERVICES: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x253),
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x123),
];

/// Whether a VPC does not log a flow. Without the VPC, as far as it is the same in all.
pub(super) fn is_unlogged(vpc: Option<&Vpc>, flow: &FlowReading) -> bool {
    // The other side's: a source that a task claims must not hide what it sends.
    let peer = match flow.direction {
        Direction::Egress => flow.destination,
        Direction::Ingress => flow.source,
    };
    is_dhcp(flow) || is_service(peer) || vpc.is_some_and(|vpc| is_reserved(vpc, peer))
}

/// Whether a client looks for DHCP servers. Ports alone do not tell: what has them and goes elsewhere is logged, and so is
/// who answers as if it were the server.
fn is_dhcp(flow: &FlowReading) -> bool {
    let wanted = (flow.source_port, flow.destination_port, flow.destination);
    flow.protocol == UDP && flow.direction == Direction::Egress && (wanted == DHCPV4 || wanted == DHCPV6)
}

fn is_service(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => IPV4_SERVICES.contains(&address),
        IpAddr::V6(address) => IPV6_SERVICES.contains(&address) || address == Subnet::IPV6_GATEWAY,
    }
}

/// Whether it is the address of the VPC's DNS server (base + 2), or its router's in one of the subnets.
fn is_reserved(vpc: &Vpc, address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            vpc.ipv4_cidr.and_then(|cidr| cidr.nth(2)) == Some(address)
                || vpc.subnets.iter().any(|subnet| subnet.ipv4_gateway() == Some(address))
        }
        IpAddr::V6(address) => vpc.subnets.iter().any(|subnet| subnet.ipv6_router_address() == Some(address)),
    }
}

#[cfg(test)]
mod tests {
    use enid_model::{NetworkSpec, Networks};

    use super::super::testing::entry;
    use super::*;

    const VPC: &str = "[[vpc]]\nname = \"shop\"\nipv4_cidr = \"10.0.0.0/16\"\nipv6_cidr = \"fd00:a::/56\"\n\
        [[vpc.subnet]]\nname = \"a\"\nzone = \"z\"\nipv4_cidr = \"10.0.1.0/24\"\nipv6_cidr = \"fd00:a::/64\"\n";

    #[test]
    fn the_vpcs_own_addresses_and_dhcp_are_not_logged() {
        let spec = NetworkSpec::parse(VPC, "network.toml").unwrap();
        let (networks, _) = Networks::default().apply(&spec).unwrap();
        let vpc = networks.vpcs().first();
        for (peer, unlogged) in [
            ("10.0.0.2", true),
            ("10.0.1.1", true),
            ("10.0.0.1", false),
            ("10.0.1.2", false),
            ("10.0.1.4", false),
            ("169.254.169.253", true),
            ("169.254.169.254", true),
            ("169.254.169.123", true),
            ("169.254.169.1", false),
            ("fd00:ec2::253", true),
            ("fd00:ec2::254", true),
            ("fd00:ec2::123", true),
            ("fd00:a::1", true),
            ("fe80::1", true),
            ("fd00:a::4", false),
            ("198.51.100.1", false),
        ] {
            let peer: IpAddr = peer.parse().unwrap();
            let sent = FlowReading { destination: peer, ..entry(0, 53) };
            assert_eq!(is_unlogged(vpc, &sent), unlogged, "to {peer}");
            let come = FlowReading { source: peer, direction: Direction::Ingress, ..entry(0, 53) };
            assert_eq!(is_unlogged(vpc, &come), unlogged, "from {peer}");
            let claimed = FlowReading { source: peer, ..entry(0, 53) };
            assert!(!is_unlogged(vpc, &claimed), "claimed to be from {peer}");
        }
    }

    #[test]
    fn dhcp_is_a_client_that_looks_for_servers() {
        let (all, all_servers, other) = ("255.255.255.255", "ff02::1:2", "198.51.100.1");
        for (protocol, source_port, destination_port, destination, unlogged) in [
            (17, 68, 67, all, true),
            (17, 546, 547, all_servers, true),
            (17, 68, 67, other, false),
            (17, 67, 68, all, false),
            (17, 68, 53, all, false),
            (6, 68, 67, all, false),
        ] {
            let destination: IpAddr = destination.parse().unwrap();
            let flow = FlowReading { protocol, source_port, destination, ..entry(0, destination_port) };
            assert_eq!(is_unlogged(None, &flow), unlogged, "{flow:?}");
        }
    }
}
