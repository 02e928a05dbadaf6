//! Security groups in the maps.

use enid_datapath::Datapath;
use enid_model::{Peer, Protocol, Rule, SecurityGroup, SecurityGroupId};

/// A group that lets everything in and out.
pub(crate) fn open(datapath: &Datapath) -> SecurityGroupId {
    let everything = || {
        let rule = |peer| Rule { protocol: Protocol::All, ports: None, icmp: None, peer };
        Peer::anywhere().map(rule).to_vec()
    };
    let group = SecurityGroup {
        id: SecurityGroupId::random(),
        name: "open".parse().unwrap(),
        ingress: everything(),
        egress: everything(),
    };
    datapath.set_group(&group).unwrap();
    group.id
}
