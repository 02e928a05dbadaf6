#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a step that fails ends the test")]

mod edges;
mod kernel;
mod property;
mod reference;

use enid_model::{Cidr, Peer, PrefixList, PrefixListId, Protocol, Rule, SecurityGroup, SecurityGroupId};

fn group_id(number: u8) -> SecurityGroupId {
    format!("sg-{number:017x}").parse().unwrap()
}

fn list_id(number: u8) -> PrefixListId {
    format!("pl-{number:017x}").parse().unwrap()
}

fn group(number: u8, ingress: Vec<Rule>, egress: Vec<Rule>) -> SecurityGroup {
    SecurityGroup { id: group_id(number), name: format!("group-{number}").parse().unwrap(), ingress, egress }
}

fn list(number: u8, entries: Vec<Cidr>) -> PrefixList {
    PrefixList { id: list_id(number), name: format!("list-{number}").parse().unwrap(), entries }
}

/// A rule for all ports or types.
fn rule(protocol: Protocol, peer: Peer) -> Rule {
    Rule { protocol, ports: None, icmp: None, peer }
}

fn block(text: &str) -> Peer {
    text.parse::<Cidr>().unwrap().into()
}
