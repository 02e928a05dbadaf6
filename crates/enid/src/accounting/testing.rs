//! Entries for the tests of this module.
#![allow(clippy::unwrap_used, reason = "test helpers")]

use std::net::{IpAddr, Ipv4Addr};

use enid_datapath::{Direction, FlowKey, FlowReading, FlowWindow, Interval};
use enid_model::{
    EcsTask, Eni, EniAddresses, EniId, EniNumber, IdleTimeouts, MacAddress, Mtu, PlatformVersion, Subnet,
    SubnetId, Tags, Task, TrafficClass, VpcId,
};

use super::registry::Registry;
use crate::services::ServiceFile;

/// The number of an ENI, counted from 0.
pub(super) fn number(eni: u32) -> EniNumber {
    EniNumber::try_from(EniNumber::MIN.get() + eni).unwrap()
}

/// An entry of the flow table that has counted nothing: an ENI's egress to a port.
pub(super) fn entry(eni: u32, port: u16) -> FlowReading {
    let (source, destination) = (Ipv4Addr::new(10, 0, 0, 4), Ipv4Addr::new(10, 0, 0, 5));
    let window =
        FlowWindow { interval: Interval::default(), packets: 0, bytes: 0, tcp_flags: 0, first: 0, last: 0 };
    FlowReading {
        key: FlowKey {
            source: source.to_ipv6_mapped().octets(),
            destination: destination.to_ipv6_mapped().octets(),
            eni: number(eni).get(),
            source_port: 40_000,
            destination_port: port,
            protocol: 6,
            direction: Direction::Egress as u8,
            family: 4,
            generation: 0,
        },
        reason: None,
        eni: number(eni),
        direction: Direction::Egress,
        source: IpAddr::V4(source),
        destination: IpAddr::V4(destination),
        source_port: 40_000,
        destination_port: port,
        protocol: 6,
        class: TrafficClass::Application,
        target: None,
        peer: None,
        target_class: TrafficClass::Application,
        windows: [window; 2],
        last_seen: 0,
        expired: false,
    }
}

/// A registry with the accounts of the first `count` ENIs, and their ids.
pub(super) fn registry(count: u32) -> (Registry, Vec<EniId>) {
    let mut registry =
        Registry::new("unknown".parse().unwrap(), "local".parse().unwrap(), ServiceFile::open(None).unwrap());
    let ids = (0..count).map(|eni| {
        let task = task(eni, VpcId::random(), EniAddresses { ipv4: None, ipv6: None });
        registry.add(&task, &subnet());
        task.eni.id
    });
    let ids = ids.collect();
    (registry, ids)
}

pub(super) fn subnet() -> Subnet {
    Subnet {
        id: SubnetId::random(),
        name: "a".parse().unwrap(),
        zone: "zone-a".parse().unwrap(),
        ipv4_cidr: None,
        ipv6_cidr: None,
    }
}

/// A task whose ENI has a number, counted from 0.
pub(super) fn task(eni: u32, vpc: VpcId, addresses: EniAddresses) -> Task {
    let eni = Eni {
        id: EniId::random(),
        number: number(eni),
        vpc,
        subnet: SubnetId::random(),
        mac: MacAddress::random(),
        addresses,
        mtu: Mtu::JUMBO,
        security_groups: Vec::new(),
        idle_timeouts: IdleTimeouts::default(),
    };
    Task {
        name: "web".parse().unwrap(),
        platform_version: PlatformVersion::V1_4_0,
        netns: "/run/netns/web".into(),
        netns_adopted: false,
        eni,
        ecs: EcsTask::default(),
        tags: Tags::default(),
    }
}
