//! Security groups in the maps.

use enid_datapath::Datapath;
use enid_model::{PeerSpec, Rule, RuleSpec, SecurityGroup, SecurityGroupId};

/// Rules for everything, to and from everywhere.
pub(crate) const EVERYTHING: &[&str] = &["all:0.0.0.0/0", "all:::/0"];

/// A group that lets everything in and out.
pub(crate) fn open(datapath: &Datapath) -> SecurityGroupId {
    group(datapath, EVERYTHING, EVERYTHING)
}

/// A group with these rules, as commands take them.
pub(crate) fn group(datapath: &Datapath, ingress: &[&str], egress: &[&str]) -> SecurityGroupId {
    let id = SecurityGroupId::random();
    set(datapath, id, ingress, egress);
    id
}

/// Gives a group other rules. Flows that there are, are judged by them from the next epoch on.
pub(crate) fn set(datapath: &Datapath, id: SecurityGroupId, ingress: &[&str], egress: &[&str]) {
    let rules = |texts: &[&str]| texts.iter().map(|text| rule(text)).collect();
    let (ingress, egress) = (rules(ingress), rules(egress));
    let group = SecurityGroup { id, name: "tested".parse().unwrap(), ingress, egress };
    datapath.set_group(&group).unwrap();
}

/// Gives a group other rules, which are in force for flows that there are when this returns.
pub(crate) fn change(datapath: &Datapath, id: SecurityGroupId, ingress: &[&str], egress: &[&str]) {
    set(datapath, id, ingress, egress);
    datapath.advance_epoch().unwrap();
}

fn rule(text: &str) -> Rule {
    let RuleSpec { protocol, ports, icmp, peer } = text.parse().unwrap();
    let PeerSpec::Cidr(block) = peer else { panic!("{text}: only blocks are looked up") };
    Rule { protocol, ports, icmp, peer: block.into() }
}
