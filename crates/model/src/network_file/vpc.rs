//! `[[vpc]]`.

use std::net::IpAddr;

use crate::{Ipv4Cidr, Ipv6Cidr, Name, Uplink};

use super::block::{self, Block, is_unicast};
use super::flow_log::{self, FlowLogDraft};
use super::problem::{Placed, Report};
use super::spec::VpcSpec;
use super::table::{Table, refuse_duplicates};
use super::{prefix_list, security_group, subnet};

const FIELDS: [&str; 10] = [
    "name",
    "ipv4_cidr",
    "ipv6_cidr",
    "uplink",
    "domain",
    "dns_servers",
    "subnet",
    "prefix_list",
    "security_group",
    "flow_log",
];

/// What could be read of a VPC.
pub(super) struct VpcDraft {
    pub(super) name: Option<Placed<Name>>,
    /// The names of its flow logs.
    pub(super) flow_logs: Vec<Placed<Name>>,
    /// The whole, if no required field is missing or refused.
    pub(super) spec: Option<VpcSpec>,
}

pub(super) fn read(table: &Table<'_>, report: &mut Report<'_>) -> VpcDraft {
    table.refuse_unknown(&FIELDS, report);
    let name: Option<Placed<Name>> =
        table.require("name", "the VPC's name, unique on the host, as `name = \"blue\"`", report);
    let ipv4 = read_block::<Ipv4Cidr>(table, report);
    let ipv6 = read_block::<Ipv6Cidr>(table, report);
    block::require_one(table, "a VPC", report);
    let uplink = table.parse_or("uplink", Uplink::None, report);
    let domain = table.parse_or("domain", Name::default_domain(), report);
    let dns_servers = read_dns_servers(table, report);

    let subnets: Vec<_> =
        table.tables("subnet", report).iter().map(|table| subnet::read(table, report)).collect();
    let names = subnets.iter().filter_map(|subnet| subnet.name.as_ref());
    refuse_duplicates(names, "a subnet's name is unique in its VPC", report);
    let inside = |field| table.has(field);
    let ipv4_blocks = subnets.iter().map(|subnet| (subnet, subnet.ipv4.as_ref()));
    subnet::check_blocks(ipv4_blocks, ipv4.as_ref(), inside(Ipv4Cidr::FIELD), report);
    let ipv6_blocks = subnets.iter().map(|subnet| (subnet, subnet.ipv6.as_ref()));
    subnet::check_blocks(ipv6_blocks, ipv6.as_ref(), inside(Ipv6Cidr::FIELD), report);

    let prefix_lists: Vec<_> =
        table.tables("prefix_list", report).iter().map(|table| prefix_list::read(table, report)).collect();
    let names = prefix_lists.iter().filter_map(|list| list.name.as_ref());
    refuse_duplicates(names, "a prefix list's name is unique in its VPC", report);

    let groups: Vec<_> = table
        .tables("security_group", report)
        .iter()
        .map(|table| security_group::read(table, report))
        .collect();
    let names = groups.iter().filter_map(|group| group.name.as_ref());
    refuse_duplicates(names, "a security group's name is unique in its VPC", report);
    security_group::check_references(&groups, &prefix_lists, report);

    let flow_logs: Vec<FlowLogDraft> =
        table.tables("flow_log", report).iter().map(|table| flow_log::read(table, report)).collect();
    let flow_log_names = flow_logs.iter().filter_map(|flow_log| flow_log.name.clone()).collect();

    let spec = || {
        Some(VpcSpec {
            name: name.as_ref()?.value.clone(),
            ipv4_cidr: ipv4.map(|block| block.value),
            ipv6_cidr: ipv6.map(|block| block.value),
            uplink: uplink?,
            domain: domain?,
            dns_servers,
            subnets: subnets.into_iter().filter_map(subnet::SubnetDraft::spec).collect(),
            prefix_lists: prefix_lists.into_iter().filter_map(prefix_list::PrefixListDraft::spec).collect(),
            security_groups: groups
                .into_iter()
                .filter_map(security_group::SecurityGroupDraft::spec)
                .collect(),
            flow_logs: flow_logs.into_iter().filter_map(|flow_log| flow_log.spec).collect(),
        })
    };
    let spec = spec();
    VpcDraft { name, flow_logs: flow_log_names, spec }
}

fn read_block<B: Block>(table: &Table<'_>, report: &mut Report<'_>) -> Option<Placed<B>> {
    let found = block::read::<B>(table, "a VPC", &B::VPC_PREFIXES, report)?;
    if let Some(reason) = found.value.unusable() {
        report.add(&found.place, format!("no VPC can have {}: {reason}", found.value));
        return None;
    }
    Some(found)
}

fn read_dns_servers(table: &Table<'_>, report: &mut Report<'_>) -> Vec<IpAddr> {
    let mut servers = Vec::new();
    for text in table.texts("dns_servers", report) {
        match text.value.parse() {
            Ok(address) if is_unicast(address) => servers.push(address),
            _ => report.add(
                &text.place,
                format!(
                    "`{}` is not the address of a resolver: expected the form `10.0.0.2` or `fd00::2`",
                    text.value
                ),
            ),
        }
    }
    servers
}
