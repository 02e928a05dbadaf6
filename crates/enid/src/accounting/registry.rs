//! The ENIs that have an account, and what their records say of them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use enid_datapath::{Count, FlowReading, FlowWindow, Reason};
use enid_flowlog::{Direction, DropReason, FlowRecord, Interface, Observation, Traffic};
use enid_model::{EniNumber, Name, Networks, Subnet, Task, Uplink, Vpc};

use super::shares::Share;

/// `traffic-path` of egress that stays in the VPC.
const SAME_VPC: u8 = 1;
/// `traffic-path` of egress that leaves through the VPC's uplink: an internet gateway's.
const INTERNET_GATEWAY: u8 = 8;

/// The ENIs that have an account.
#[derive(Debug)]
pub(super) struct Registry {
    account_id: Name,
    region: Name,
    enis: HashMap<EniNumber, Arc<Interface>>,
}

impl Registry {
    pub(super) fn new(account_id: Name, region: Name) -> Self {
        Self { account_id, region, enis: HashMap::new() }
    }

    pub(super) fn add(&mut self, task: &Task, subnet: &Subnet) {
        let eni = &task.eni;
        let interface = Interface {
            account_id: self.account_id.clone(),
            eni: eni.id,
            task: Some(task.name.clone()),
            vpc: eni.vpc,
            subnet: eni.subnet,
            region: self.region.clone(),
            zone: subnet.zone.clone(),
            ecs: task.ecs.clone(),
            tags: task.tags.clone(),
            shown_tags: [None, None],
        };
        self.enis.insert(eni.number, Arc::new(interface));
    }

    pub(super) fn remove(&mut self, number: EniNumber) {
        self.enis.remove(&number);
    }

    pub(super) fn numbers(&self) -> Vec<EniNumber> {
        self.enis.keys().copied().collect()
    }

    /// The ENI.
    pub(super) fn interface(&self, number: EniNumber) -> Option<Arc<Interface>> {
        self.enis.get(&number).cloned()
    }

    /// The record of an ENI's share in what a window of an entry has counted; none if the ENI has no account.
    pub(super) fn record(
        &self,
        networks: &Networks,
        flow: &FlowReading,
        share: Share,
        window: &FlowWindow,
        count: Count,
    ) -> Option<FlowRecord> {
        let interface = Arc::clone(self.enis.get(&share.eni)?);
        let direction = match share.direction {
            enid_datapath::Direction::Ingress => Direction::Ingress,
            enid_datapath::Direction::Egress => Direction::Egress,
        };
        // What was refused has gone no way.
        let has_path = direction == Direction::Egress && share.reason.is_none();
        let vpc = networks.vpc_by_id(interface.vpc).filter(|_| has_path);
        let traffic = Traffic {
            src: flow.source,
            dst: flow.destination,
            src_port: flow.source_port,
            dst_port: flow.destination_port,
            protocol: flow.protocol,
            packets: count.packets,
            bytes: count.bytes,
            drop_reason: share.reason.map(drop_reason),
            tcp_flags: window.tcp_flags,
            direction,
            traffic_path: vpc.and_then(|vpc| traffic_path(vpc, flow.destination)),
            class: share.class,
        };
        Some(FlowRecord::new(interface, window.first, window.last, Observation::Traffic(traffic)))
    }
}

const fn drop_reason(reason: Reason) -> DropReason {
    match reason {
        Reason::NoRule => DropReason::NoRule,
        Reason::SpoofedSource => DropReason::SpoofedSource,
        Reason::NoRoute => DropReason::NoRoute,
        Reason::TableFull => DropReason::TableFull,
        Reason::ClosedConnection => DropReason::ClosedConnection,
        Reason::Router => DropReason::Router,
        Reason::Impersonation => DropReason::Impersonation,
    }
}

fn traffic_path(vpc: &Vpc, destination: IpAddr) -> Option<u8> {
    let inside = match destination {
        IpAddr::V4(address) => vpc.ipv4_cidr.is_some_and(|cidr| cidr.contains(address)),
        IpAddr::V6(address) => vpc.ipv6_cidr.is_some_and(|cidr| cidr.contains(address)),
    };
    match vpc.uplink {
        _ if inside => Some(SAME_VPC),
        Uplink::Nat => Some(INTERNET_GATEWAY),
        Uplink::None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_called_the_same_in_records_and_in_counters() {
        let names = Reason::ALL.map(Reason::as_str);
        assert_eq!(Reason::ALL.map(|reason| drop_reason(reason).as_str()), names);
        assert_eq!(DropReason::ALL.iter().map(|reason| reason.as_str()).collect::<Vec<_>>(), names);
    }
}
