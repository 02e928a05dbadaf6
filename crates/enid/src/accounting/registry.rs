//! The ENIs that have an account, and what their records say of them.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use enid_datapath::{Count, FlowReading, FlowWindow};
use enid_flowlog::{Action, Direction, FlowRecord, Interface, Observation, Traffic};
use enid_model::{EniId, EniNumber, Name, Subnet, Task, Uplink, Vpc};

use crate::networks::NetworkState;

/// `traffic-path` of egress that stays in the VPC.
const SAME_VPC: u8 = 1;
/// `traffic-path` of egress that leaves through the VPC's uplink: an internet gateway's.
const INTERNET_GATEWAY: u8 = 8;

/// The ENIs that have an account.
#[derive(Debug)]
pub(super) struct Registry {
    account_id: Name,
    region: Name,
    enis: HashMap<EniNumber, Account>,
}

#[derive(Debug)]
struct Account {
    interface: Arc<Interface>,
    /// Of its packets, how many were known to be in no record for want of room.
    skipped: u64,
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
        };
        self.enis.insert(eni.number, Account { interface: Arc::new(interface), skipped: 0 });
    }

    pub(super) fn remove(&mut self, number: EniNumber) {
        self.enis.remove(&number);
    }

    pub(super) fn numbers(&self) -> Vec<EniNumber> {
        self.enis.keys().copied().collect()
    }

    /// The ENIs without a record among these.
    pub(super) fn idle(&self, records: &[FlowRecord]) -> Vec<Arc<Interface>> {
        let busy: HashSet<EniId> = records.iter().map(|record| record.interface.eni).collect();
        let interfaces = self.enis.values().map(|account| &account.interface);
        interfaces.filter(|interface| !busy.contains(&interface.eni)).cloned().collect()
    }

    /// The ENI, if more of its packets are in no record than were known.
    pub(super) fn skipped(&mut self, number: EniNumber, skipped: u64) -> Option<Arc<Interface>> {
        let account = self.enis.get_mut(&number)?;
        let more = skipped > account.skipped;
        account.skipped = skipped;
        more.then(|| Arc::clone(&account.interface))
    }

    /// A flow's record; none if the ENI has no account.
    pub(super) fn record(
        &self,
        networks: &NetworkState,
        flow: &FlowReading,
        window: &FlowWindow,
        count: Count,
    ) -> Option<FlowRecord> {
        let interface = Arc::clone(&self.enis.get(&flow.eni)?.interface);
        let (direction, traffic_path) = match flow.direction {
            enid_datapath::Direction::Ingress => (Direction::Ingress, None),
            enid_datapath::Direction::Egress => {
                let networks = networks.current();
                let path =
                    networks.vpc_by_id(interface.vpc).and_then(|vpc| traffic_path(vpc, flow.destination));
                (Direction::Egress, path)
            }
        };
        let traffic = Traffic {
            src: flow.source,
            dst: flow.destination,
            src_port: flow.source_port,
            dst_port: flow.destination_port,
            protocol: flow.protocol,
            packets: count.packets,
            bytes: count.bytes,
            action: Action::Accept,
            tcp_flags: window.tcp_flags,
            direction,
            traffic_path,
            class: flow.class,
        };
        Some(FlowRecord {
            interface,
            start: window.first,
            end: window.last,
            observation: Observation::Traffic(traffic),
        })
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
