//! The ENIs that have an account, and what their records say of them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::Arc;

use ahash::RandomState;
use enid_datapath::{Count, FlowReading, FlowWindow, Reason};
use enid_flowlog::{Direction, DropReason, FlowRecord, Interface, Observation, Traffic};
use enid_model::{EniAddresses, EniNumber, Name, Networks, Subnet, Task, Uplink, Vpc, VpcId};

use super::shares::Share;
use super::unlogged::is_unlogged;
use crate::services::ServiceFile;

/// `traffic-path` of egress that stays in the VPC.
const SAME_VPC: u8 = 1;
/// `traffic-path` of egress that leaves through the VPC's uplink: an internet gateway's.
const INTERNET_GATEWAY: u8 = 8;

/// The ENIs that have an account.
#[derive(Debug)]
pub(super) struct Registry {
    account_id: Name,
    region: Name,
    services: ServiceFile,
    enis: HashMap<EniNumber, Account, RandomState>,
    /// Who has an address of a VPC.
    by_address: HashMap<(VpcId, IpAddr), EniNumber, RandomState>,
}

/// An ENI that has an account.
#[derive(Debug)]
struct Account {
    interface: Arc<Interface>,
    addresses: EniAddresses,
}

impl Registry {
    pub(super) fn new(account_id: Name, region: Name, services: ServiceFile) -> Self {
        Self { account_id, region, services, enis: HashMap::default(), by_address: HashMap::default() }
    }

    /// Reads the prefixes of services again, if they have changed.
    pub(super) fn refresh_services(&mut self) {
        self.services.refresh();
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
        for address in eni.addresses.iter() {
            self.by_address.insert((eni.vpc, address), eni.number);
        }
        let account = Account { interface: Arc::new(interface), addresses: eni.addresses };
        self.enis.insert(eni.number, account);
    }

    pub(super) fn remove(&mut self, number: EniNumber) {
        let Some(Account { interface, addresses }) = self.enis.remove(&number) else { return };
        for address in addresses.iter() {
            // It may be another ENI's by now.
            if let Entry::Occupied(entry) = self.by_address.entry((interface.vpc, address))
                && *entry.get() == number
            {
                entry.remove();
            }
        }
    }

    pub(super) fn numbers(&self) -> Vec<EniNumber> {
        self.enis.keys().copied().collect()
    }

    /// The ENI.
    pub(super) fn interface(&self, number: EniNumber) -> Option<Arc<Interface>> {
        self.enis.get(&number).map(|account| Arc::clone(&account.interface))
    }

    /// Whether what an entry counts is for records; what a VPC does not log is only counted.
    pub(super) fn is_logged(&self, networks: &Networks, flow: &FlowReading) -> bool {
        let vpc = self.enis.get(&flow.eni).and_then(|account| networks.vpc_by_id(account.interface.vpc));
        !is_unlogged(vpc, flow)
    }

    /// The ENI at a share's other side, if it is one of this host: the one that receives, or on ingress sends.
    fn next_hop(&self, vpc: VpcId, flow: &FlowReading, share: Share) -> Option<Arc<Interface>> {
        let is_egress = share.direction == enid_datapath::Direction::Egress;
        if is_egress && share.reason.is_some() {
            // What was refused has gone no way.
            return None;
        }
        let number = match flow.target {
            Some(target) if target == share.eni => flow.eni,
            Some(target) => target,
            None => {
                let address = if is_egress { flow.destination } else { flow.source };
                *self.by_address.get(&(vpc, address))?
            }
        };
        self.interface(number)
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
        let interface = self.interface(share.eni)?;
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
        Some(FlowRecord {
            next_hop: self.next_hop(interface.vpc, flow, share),
            src_service: self.services.of(flow.source),
            dst_service: self.services.of(flow.destination),
            ..FlowRecord::new(interface, window.first, window.last, Observation::Traffic(traffic))
        })
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
    use super::super::shares::shares;
    use super::super::testing::{entry, number, registry, subnet, task};
    use enid_model::EniId;

    use super::*;

    /// The ENIs at the other side, as each share of an entry sees it.
    fn next_hops(registry: &Registry, flow: &FlowReading) -> Vec<Option<EniId>> {
        let record = |share| {
            let window = &flow.windows[0];
            registry.record(&Networks::default(), flow, share, window, Count::default())
        };
        shares(flow).map(|share| record(share).unwrap().next_hop.map(|interface| interface.eni)).collect()
    }

    #[test]
    fn the_next_hop_is_the_eni_at_the_other_side() {
        let (mut registry, _) = registry(0);
        let vpc = VpcId::random();
        // Those of the entries of the tests.
        let with = |last| EniAddresses { ipv4: Some([10, 0, 0, last].into()), ipv6: None };
        let (sender, receiver) = (task(0, vpc, with(4)), task(1, vpc, with(5)));
        let stranger = task(2, VpcId::random(), with(5));
        for task in [&sender, &receiver, &stranger] {
            registry.add(task, &subnet());
        }
        let (from, to) = (Some(sender.eni.id), Some(receiver.eni.id));
        let target = Some(number(1));
        let egress = entry(0, 80);
        let no_rule = Some(Reason::NoRule);
        let ingress =
            FlowReading { direction: enid_datapath::Direction::Ingress, eni: number(1), ..entry(1, 80) };
        for (flow, wanted) in [
            // By the kernel's way: by address.
            (egress, vec![to]),
            (ingress, vec![from]),
            (FlowReading { reason: no_rule, ..ingress }, vec![from]),
            (FlowReading { reason: no_rule, ..egress }, vec![None]),
            (FlowReading { destination: [198, 51, 100, 1].into(), ..egress }, vec![None]),
            // Straight to the other: by number.
            (FlowReading { target, ..egress }, vec![to, from]),
            (FlowReading { target, reason: no_rule, ..egress }, vec![to, from]),
        ] {
            assert_eq!(next_hops(&registry, &flow), wanted, "{flow:?}");
        }
        // The address of an ENI that is being taken away may be another's already.
        let next = task(3, vpc, with(5));
        registry.add(&next, &subnet());
        registry.remove(number(1));
        assert_eq!(next_hops(&registry, &egress), [Some(next.eni.id)]);
        registry.remove(number(3));
        assert_eq!(next_hops(&registry, &egress), [None]);
    }

    #[test]
    fn reasons_are_called_the_same_in_records_and_in_counters() {
        let names = Reason::ALL.map(Reason::as_str);
        assert_eq!(Reason::ALL.map(|reason| drop_reason(reason).as_str()), names);
        assert_eq!(DropReason::ALL.iter().map(|reason| reason.as_str()).collect::<Vec<_>>(), names);
    }
}
