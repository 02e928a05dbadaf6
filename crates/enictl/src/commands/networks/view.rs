//! VPCs and subnets as tables.

use enid_api::v1::{Subnet, Vpc};

use super::prefix_lists::prefix_lists;
use super::security_groups::security_groups;
use crate::text::Column::{Left, Right};
use crate::text::{Pairs, Table, grouped, or_dash};

/// A line for each VPC.
pub(super) fn vpcs(vpcs: &[Vpc]) -> String {
    let mut table = Table::new([
        Left("NAME"),
        Left("ID"),
        Left("IPV4"),
        Left("IPV6"),
        Left("UPLINK"),
        Right("SUBNETS"),
        Left("ROUTER"),
    ]);
    for vpc in vpcs {
        table.row([
            vpc.name.clone(),
            vpc.id.clone(),
            or_dash(vpc.ipv4_cidr.as_ref()),
            or_dash(vpc.ipv6_cidr.as_ref()),
            vpc.uplink.clone(),
            vpc.subnets.len().to_string(),
            or_dash(vpc.router_netns.as_ref()),
        ]);
    }
    table.finish()
}

/// One VPC with its subnets, its groups and the prefix lists that it has.
pub(super) fn vpc(vpc: &Vpc) -> String {
    let mut pairs = Pairs::default();
    pairs.add("vpc", &vpc.name);
    pairs.add("id", &vpc.id);
    pairs.add_some("ipv4", vpc.ipv4_cidr.as_ref());
    pairs.add_some("ipv6", vpc.ipv6_cidr.as_ref());
    pairs.add("uplink", &vpc.uplink);
    pairs.add("domain", &vpc.domain);
    pairs.add_list("dns", &vpc.dns_servers);
    pairs.add_some("router", vpc.router_netns.as_ref());
    let one = std::slice::from_ref(vpc);
    let mut parts = vec![pairs.to_string(), subnets(one), security_groups(one)];
    if !vpc.prefix_lists.is_empty() {
        parts.push(prefix_lists(one));
    }
    parts.join("\n")
}

/// A line for each subnet of these VPCs.
pub(super) fn subnets(vpcs: &[Vpc]) -> String {
    let mut table = Table::new([
        Left("SUBNET"),
        Left("ID"),
        Left("ZONE"),
        Left("IPV4"),
        Left("IPV6"),
        Right("AVAILABLE"),
    ]);
    for vpc in vpcs {
        for subnet in &vpc.subnets {
            table.row([
                format!("{}/{}", vpc.name, subnet.name),
                subnet.id.clone(),
                subnet.zone.clone(),
                or_dash(subnet.ipv4_cidr.as_ref()),
                or_dash(subnet.ipv6_cidr.as_ref()),
                or_dash(subnet.available_ipv4_addresses.map(grouped)),
            ]);
        }
    }
    table.finish()
}

/// One subnet.
pub(super) fn subnet(vpc: &Vpc, subnet: &Subnet) -> String {
    let mut pairs = Pairs::default();
    pairs.add("subnet", format_args!("{}/{}", vpc.name, subnet.name));
    pairs.add("id", &subnet.id);
    pairs.add("vpc", &vpc.id);
    pairs.add("zone", &subnet.zone);
    pairs.add_some("ipv4", subnet.ipv4_cidr.as_ref());
    pairs.add_some("ipv6", subnet.ipv6_cidr.as_ref());
    pairs.add_some("available-ipv4-addresses", subnet.available_ipv4_addresses.map(grouped));
    pairs.to_string()
}
