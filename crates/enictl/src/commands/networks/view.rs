//! VPCs, subnets and security groups as tables.

use enid_api::v1::{Rule, SecurityGroup, Subnet, Vpc};

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

/// One VPC with its subnets and groups.
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
    format!("{pairs}\n{}\n{}", subnets(one), security_groups(one))
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

/// A line for each security group of these VPCs.
pub(super) fn security_groups(vpcs: &[Vpc]) -> String {
    let mut table =
        Table::new([Left("SECURITY GROUP"), Left("ID"), Right("INGRESS RULES"), Right("EGRESS RULES")]);
    for vpc in vpcs {
        for group in &vpc.security_groups {
            table.row([
                format!("{}/{}", vpc.name, group.name),
                group.id.clone(),
                group.ingress.len().to_string(),
                group.egress.len().to_string(),
            ]);
        }
    }
    table.finish()
}

/// One security group with its rules.
pub(super) fn security_group(vpc: &Vpc, group: &SecurityGroup) -> String {
    let mut pairs = Pairs::default();
    pairs.add("security-group", format_args!("{}/{}", vpc.name, group.name));
    pairs.add("id", &group.id);
    pairs.add("vpc", &vpc.id);
    let mut table = Table::new([Left("DIRECTION"), Left("PROTOCOL"), Left("PORTS"), Left("PEER")]);
    let mut add = |direction: &str, rules: &[Rule]| {
        for rule in rules {
            table.row([
                direction.to_owned(),
                rule.protocol.clone(),
                rule.ports.clone().unwrap_or_else(|| "all".to_owned()),
                rule.peer.clone(),
            ]);
        }
    };
    add("ingress", &group.ingress);
    add("egress", &group.egress);
    format!("{pairs}\n{}", table.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_shows_its_rules() {
        let vpc = Vpc { id: "vpc-1".into(), name: "blue".into(), ..Vpc::default() };
        let group = SecurityGroup {
            id: "sg-1".into(),
            name: "web".into(),
            ingress: vec![Rule {
                protocol: "tcp".into(),
                ports: Some("443".into()),
                peer: "0.0.0.0/0".into(),
            }],
            egress: vec![Rule { protocol: "all".into(), ports: None, peer: "::/0".into() }],
            ..SecurityGroup::default()
        };
        assert_eq!(
            security_group(&vpc, &group),
            "security-group  blue/web\n\
             id              sg-1\n\
             vpc             vpc-1\n\
             \n\
             DIRECTION  PROTOCOL  PORTS  PEER\n\
             ingress    tcp       443    0.0.0.0/0\n\
             egress     all       all    ::/0\n"
        );
    }
}
