//! What a VPC does not log: DHCP, and what goes to and comes from its own services and its router.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use enid_datapath::{Direction, FlowReading};
use enid_model::{Subnet, Vpc};

const UDP: u8 = 17;
/// Ports of DHCP (RFC 2131) and of DHCPv6 (RFC 8415), client and server.
const DHCP: [(u16, u16); 2] = [(68, 67), (546, 547)];
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

fn is_dhcp(flow: &FlowReading) -> bool {
    let (source, destination) = (flow.source_port, flow.destination_port);
    flow.protocol == UDP
        && DHCP.iter().any(|(client, server)| {
            (source, destination) == (*client, *server) || (source, destination) == (*server, *client)
        })
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
    fn dhcp_is_between_its_ports_over_udp() {
        for (protocol, source_port, destination_port, unlogged) in [
            (17, 68, 67, true),
            (17, 67, 68, true),
            (17, 546, 547, true),
            (17, 547, 546, true),
            (17, 67, 67, false),
            (17, 68, 53, false),
            (6, 68, 67, false),
        ] {
            let flow = FlowReading { protocol, source_port, ..entry(0, destination_port) };
            assert_eq!(is_unlogged(None, &flow), unlogged, "{protocol} {source_port} {destination_port}");
        }
    }
}
