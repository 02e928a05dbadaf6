//! From the domain's types to the protocol's messages.

use std::collections::BTreeMap;

use enid_api::v1;
use enid_model::{IdleTimeouts, PrefixList, Rule, SecurityGroup, Subnet, Vpc};
use enid_store::TaskRecord;

pub(super) fn task(record: &TaskRecord, vpc: &Vpc, subnet: &Subnet) -> v1::Task {
    let task = &record.task;
    let eni = &task.eni;
    let ipv4 = eni.addresses.ipv4.zip(subnet.ipv4_cidr);
    let with_prefix = |(address, cidr): (_, enid_model::Ipv4Cidr)| format!("{address}/{}", cidr.prefix());
    v1::Task {
        name: task.name.to_string(),
        platform_version: task.platform_version.to_string(),
        netns: task.netns.display().to_string(),
        eni: Some(v1::Eni {
            id: eni.id.to_string(),
            number: eni.number.get(),
            mac: eni.mac.to_string(),
            ipv4: ipv4.map(with_prefix),
            ipv6: eni.addresses.ipv6.map(|address| format!("{address}/128")),
            mtu: eni.mtu.get(),
            ipv4_gateway: ipv4.and(subnet.ipv4_gateway()).map(|gateway| gateway.to_string()),
            ipv6_gateway: eni.addresses.ipv6.map(|_| Subnet::IPV6_GATEWAY.to_string()),
            subnet_id: eni.subnet.to_string(),
            vpc_id: eni.vpc.to_string(),
            zone: subnet.zone.to_string(),
            security_group_ids: eni.security_groups.iter().map(ToString::to_string).collect(),
            idle_timeouts: Some(idle_timeouts(eni.idle_timeouts)),
        }),
        environment: BTreeMap::from([("AWS_EXECUTION_ENV".to_owned(), "AWS_ECS_FARGATE".to_owned())]),
        dns: Some(v1::Dns {
            servers: vpc.dns_servers.iter().map(ToString::to_string).collect(),
            search: vec![vpc.domain.to_string()],
            private_name: eni.addresses.ipv4.map(|address| crate::run::private_name(address, vpc)),
        }),
        ecs: Some(super::ecs::message(&task.ecs)),
        tags: task.tags.clone().into(),
    }
}

pub(super) fn vpc(
    vpc: &Vpc,
    router_netns: Option<String>,
    available: impl Fn(&Subnet) -> Option<u32>,
) -> v1::Vpc {
    let vpc_id = vpc.id.to_string();
    v1::Vpc {
        id: vpc_id.clone(),
        name: vpc.name.to_string(),
        ipv4_cidr: vpc.ipv4_cidr.map(|cidr| cidr.to_string()),
        ipv6_cidr: vpc.ipv6_cidr.map(|cidr| cidr.to_string()),
        uplink: vpc.uplink.to_string(),
        domain: vpc.domain.to_string(),
        dns_servers: vpc.dns_servers.iter().map(ToString::to_string).collect(),
        subnets: vpc.subnets.iter().map(|one| subnet(one, &vpc_id, available(one))).collect(),
        security_groups: vpc.security_groups.iter().map(|group| security_group(group, vpc)).collect(),
        prefix_lists: vpc.prefix_lists.iter().map(|list| prefix_list(list, &vpc_id)).collect(),
        router_netns,
    }
}

fn subnet(subnet: &Subnet, vpc_id: &str, available_ipv4_addresses: Option<u32>) -> v1::Subnet {
    v1::Subnet {
        id: subnet.id.to_string(),
        name: subnet.name.to_string(),
        zone: subnet.zone.to_string(),
        ipv4_cidr: subnet.ipv4_cidr.map(|cidr| cidr.to_string()),
        ipv6_cidr: subnet.ipv6_cidr.map(|cidr| cidr.to_string()),
        vpc_id: vpc_id.to_owned(),
        available_ipv4_addresses,
    }
}

fn security_group(group: &SecurityGroup, vpc: &Vpc) -> v1::SecurityGroup {
    v1::SecurityGroup {
        id: group.id.to_string(),
        name: group.name.to_string(),
        vpc_id: vpc.id.to_string(),
        ingress: group.ingress.iter().map(|one| rule(one, vpc)).collect(),
        egress: group.egress.iter().map(|one| rule(one, vpc)).collect(),
    }
}

fn rule(rule: &Rule, vpc: &Vpc) -> v1::Rule {
    v1::Rule {
        protocol: rule.protocol.to_string(),
        ports: rule.ports.map(|ports| ports.to_string()),
        peer: rule.peer.to_string(),
        icmp_type: rule.icmp.map(|icmp| icmp.icmp_type.into()),
        icmp_code: rule.icmp.and_then(|icmp| icmp.code).map(u32::from),
        text: vpc.rule_text(rule),
    }
}

fn prefix_list(list: &PrefixList, vpc_id: &str) -> v1::PrefixList {
    v1::PrefixList {
        id: list.id.to_string(),
        name: list.name.to_string(),
        vpc_id: vpc_id.to_owned(),
        entries: list.entries.iter().map(ToString::to_string).collect(),
    }
}

fn idle_timeouts(timeouts: IdleTimeouts) -> v1::IdleTimeouts {
    v1::IdleTimeouts {
        tcp_established: Some(timeouts.tcp_established.seconds()),
        udp: Some(timeouts.udp.seconds()),
        udp_stream: Some(timeouts.udp_stream.seconds()),
    }
}
