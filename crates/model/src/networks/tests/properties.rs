//! What holds of every file and every state.

use std::collections::HashSet;

use proptest::prelude::*;

use crate::network_file::samples::{render, spec};
use crate::{
    Cidr, DEFAULT_SECURITY_GROUP, ListUpdate, NetworkSpec, Networks, Peer, PeerSpec, PrefixList,
    PrefixListSpec, Rule, RuleSpec, SecurityGroup, SecurityGroupSpec, Subnet, SubnetSpec, Vpc, VpcSpec,
};

/// The spec that declares the networks, from what was stored.
fn declare(networks: &Networks) -> NetworkSpec {
    let rules = |vpc: &Vpc, rules: &[Rule]| -> Vec<RuleSpec> {
        let rule = |rule: &Rule| RuleSpec {
            protocol: rule.protocol,
            ports: rule.ports,
            icmp: rule.icmp,
            peer: match rule.peer {
                Peer::Ipv4(cidr) => PeerSpec::Cidr(Cidr::Ipv4(cidr)),
                Peer::Ipv6(cidr) => PeerSpec::Cidr(Cidr::Ipv6(cidr)),
                Peer::SecurityGroup(id) => {
                    PeerSpec::SecurityGroup(vpc.security_group_by_id(id).unwrap().name.clone())
                }
                Peer::PrefixList(id) => PeerSpec::PrefixList(vpc.prefix_list_by_id(id).unwrap().name.clone()),
            },
        };
        rules.iter().map(rule).collect()
    };
    let subnet = |subnet: &Subnet| SubnetSpec {
        name: subnet.name.clone(),
        zone: subnet.zone.clone(),
        ipv4_cidr: subnet.ipv4_cidr,
        ipv6_cidr: subnet.ipv6_cidr,
    };
    let prefix_list =
        |list: &PrefixList| PrefixListSpec { name: list.name.clone(), entries: list.entries.clone() };
    let group = |vpc: &Vpc, group: &SecurityGroup| SecurityGroupSpec {
        name: group.name.clone(),
        ingress: rules(vpc, &group.ingress),
        egress: rules(vpc, &group.egress),
    };
    let vpc = |vpc: &Vpc| VpcSpec {
        name: vpc.name.clone(),
        ipv4_cidr: vpc.ipv4_cidr,
        ipv6_cidr: vpc.ipv6_cidr,
        uplink: vpc.uplink,
        domain: vpc.domain.clone(),
        dns_servers: vpc.dns_servers.clone(),
        subnets: vpc.subnets.iter().map(subnet).collect(),
        prefix_lists: vpc.prefix_lists.iter().map(prefix_list).collect(),
        flow_logs: Vec::new(),
        security_groups: vpc.security_groups.iter().map(|known| group(vpc, known)).collect(),
    };
    NetworkSpec { vpcs: networks.vpcs().iter().map(vpc).collect() }
}

/// What every reader of networks relies on.
fn check(networks: &Networks) {
    let mut ids = HashSet::new();
    for vpc in networks.vpcs() {
        assert!(ids.insert(vpc.id.to_string()));
        assert!(vpc.security_groups.iter().any(|group| group.name.as_str() == DEFAULT_SECURITY_GROUP));
        for subnet in &vpc.subnets {
            assert!(ids.insert(subnet.id.to_string()));
        }
        for list in &vpc.prefix_lists {
            assert!(ids.insert(list.id.to_string()));
        }
        for group in &vpc.security_groups {
            assert!(ids.insert(group.id.to_string()));
            for rule in group.ingress.iter().chain(&group.egress) {
                match rule.peer {
                    Peer::SecurityGroup(id) => assert!(vpc.security_group_by_id(id).is_some()),
                    Peer::PrefixList(id) => assert!(vpc.prefix_list_by_id(id).is_some()),
                    Peer::Ipv4(_) | Peer::Ipv6(_) => {}
                }
            }
        }
    }
    // What is stored is also a valid file: unique names, no overlaps, blocks inside their VPC's.
    NetworkSpec::parse(&render(&declare(networks)), "network.toml").unwrap();
}

proptest! {
    #[test]
    fn what_was_applied_declares_the_same_networks(spec in spec()) {
        let (networks, _) = Networks::default().apply(&spec).unwrap();
        check(&networks);
        let mut declared = declare(&networks);
        // The group `default` is there whether declared or not.
        for (declared, vpc) in declared.vpcs.iter_mut().zip(&spec.vpcs) {
            let names: HashSet<_> = vpc.security_groups.iter().map(|group| &group.name).collect();
            declared.security_groups.retain(|group| names.contains(&group.name));
        }
        prop_assert_eq!(declared, spec);
    }

    #[test]
    fn applying_twice_changes_nothing(first in spec(), second in spec()) {
        let (before, _) = Networks::default().apply(&first).unwrap();
        // The second file is often refused: then nothing has changed to begin with.
        if let Ok((after, changes)) = before.apply(&second) {
            check(&after);
            prop_assert_eq!(changes.is_empty(), before == after);
            prop_assert_eq!(after.apply(&second).unwrap(), (after.clone(), vec![]));
        }
    }

    #[test]
    fn what_exists_keeps_its_identifier(first in spec(), second in spec()) {
        let (before, _) = Networks::default().apply(&first).unwrap();
        if let Ok((after, _)) = before.apply(&second) {
            for vpc in before.vpcs() {
                let same = after.vpc_by_id(vpc.id).unwrap();
                prop_assert_eq!(&same.name, &vpc.name);
                prop_assert!(same.subnets.starts_with(&vpc.subnets));
                for group in &vpc.security_groups {
                    prop_assert_eq!(&same.security_group_by_id(group.id).unwrap().name, &group.name);
                }
            }
        }
    }

    #[test]
    fn removing_leaves_valid_networks(spec in spec(), at in any::<prop::sample::Index>()) {
        let (networks, _) = Networks::default().apply(&spec).unwrap();
        let groups = networks.vpcs().iter().flat_map(|vpc| &vpc.security_groups).map(|group| group.id);
        let groups: Vec<_> = groups.collect();
        if !groups.is_empty()
            && let Ok((after, _)) = networks.remove_security_group(groups[at.index(groups.len())])
        {
            check(&after);
        }
    }

    #[test]
    fn the_text_that_shows_a_rule_removes_it(spec in spec(), at in any::<prop::sample::Index>()) {
        let (networks, _) = Networks::default().apply(&spec).unwrap();
        let groups = || networks.vpcs().iter().flat_map(|vpc| vpc.security_groups.iter().map(move |group| (vpc, group)));
        if groups().count() == 0 {
            return Ok(());
        }
        let (vpc, group) = groups().nth(at.index(groups().count())).unwrap();
        let mut unique: Vec<RuleSpec> = Vec::new();
        for rule in &group.egress {
            let rule = vpc.rule_text(rule).parse().unwrap();
            if !unique.contains(&rule) {
                unique.push(rule);
            }
        }
        let update = ListUpdate { clear: false, remove: unique, add: Vec::new() };
        let (after, changes) = networks.update_security_group(group.id, &ListUpdate::default(), &update).unwrap();
        check(&after);
        let (_, emptied) = after.security_group_by_id(group.id).unwrap();
        prop_assert!(emptied.egress.is_empty());
        prop_assert_eq!(&emptied.ingress, &group.ingress);
        prop_assert_eq!(changes.len(), group.egress.len());
    }

    #[test]
    fn stored_networks_read_back(spec in spec()) {
        let (networks, _) = Networks::default().apply(&spec).unwrap();
        let stored = serde_json::to_string(&networks).unwrap();
        prop_assert_eq!(serde_json::from_str::<Networks>(&stored).unwrap(), networks.clone());
        prop_assert_eq!(networks.vpcs().iter().cloned().collect::<Networks>(), networks);
    }
}
