//! Records of every kind, and what a reader of IPFIX should have read of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use enid_delivery::Parcel;
use enid_flowlog::{Direction, DropReason, FlowRecord, Format, Interface, Loss, Observation, Traffic};
use enid_model::{EcsTask, Tags, TrafficClass};

/// When the first of the records starts: 14 December 2014, as in the documentation's examples.
pub(crate) const START: u64 = 1_418_530_010;

/// ENI number `index` of the tests.
pub(crate) fn interface(index: u32) -> Arc<Interface> {
    let identifier = |text: String| Some(text.parse().unwrap());
    Arc::new(Interface {
        account_id: "123456789010".parse().unwrap(),
        eni: format!("eni-{:017x}", 0x1_2345_6789_0000_0000 + u128::from(index) * 0x0101_0101 + 1)
            .parse()
            .unwrap(),
        task: (index != 1).then(|| format!("web-{index}").parse().unwrap()),
        vpc: "vpc-abcdefab012345678".parse().unwrap(),
        subnet: "subnet-aaaaaaaa012345678".parse().unwrap(),
        region: "ap-southeast-2".parse().unwrap(),
        zone: "apse2-az3".parse().unwrap(),
        ecs: EcsTask {
            cluster_name: identifier("shop".to_owned()),
            task_arn: identifier(format!("arn:aws:ecs:ap-southeast-2:123456789010:task/shop/{index}")),
            ..EcsTask::default()
        },
        tags: Tags::default(),
        shown_tags: [Some("web%20shop".into()), None],
    })
}

/// So many flows over three ENIs, starting at `from` seconds: both families, both directions, every outcome.
pub(crate) fn flows(count: u32, from: u64) -> Vec<FlowRecord> {
    let interfaces = [interface(0), interface(1), interface(2)];
    let interfaces = interfaces.iter().cycle();
    interfaces.zip(0..count).map(|(interface, number)| flow(interface, number, from)).collect()
}

/// Flow number `number`: its values differ from those of its neighbours in every field.
pub(crate) fn flow(interface: &Arc<Interface>, number: u32, from: u64) -> FlowRecord {
    let [.., high, low] = number.to_be_bytes();
    let (src, dst): (IpAddr, IpAddr) = if number % 5 < 3 {
        (Ipv4Addr::new(172, 31, high, low).into(), Ipv4Addr::new(10, low, 0, 1).into())
    } else {
        let low = u16::from(low);
        (
            Ipv6Addr::new(0xfd00, 1, 2, 3, 4, 5, 6, low).into(),
            Ipv6Addr::new(0x2001, 0xdb8, low, 0, 0, 0, 0, 1).into(),
        )
    };
    let protocol = [6, 17, 6, 1, 132][number as usize % 5];
    let has_ports = protocol != 1;
    let reasons = DropReason::ALL;
    let start = from + u64::from(number) / 10;
    let traffic = Traffic {
        src,
        dst,
        src_port: if has_ports { 1024 + (number % 60_000) as u16 } else { 0 },
        dst_port: if has_ports { 443 } else { 0 },
        protocol,
        packets: 1 + u64::from(number) * 7,
        // Beyond 32 bits for some.
        bytes: 84 + u64::from(number) * 400_000_001,
        drop_reason: (number % 4 == 3).then(|| reasons[number as usize % reasons.len()]),
        tcp_flags: if protocol == 6 { [0, 2, 18, 3, 19, 4][number as usize % 6] } else { 0 },
        direction: if number.is_multiple_of(2) { Direction::Ingress } else { Direction::Egress },
        traffic_path: (!number.is_multiple_of(2)).then_some(8),
        class: TrafficClass::Application,
    };
    FlowRecord::new(Arc::clone(interface), start, start + 5, Observation::Traffic(traffic))
}

/// A record of an interval without traffic.
pub(crate) fn no_data(interface: &Arc<Interface>) -> FlowRecord {
    FlowRecord::new(Arc::clone(interface), START, START + 60, Observation::NoData)
}

/// A record of an interval with so many packets in no record, each of 100 bytes.
pub(crate) fn skip_data(interface: &Arc<Interface>, packets: u64, records: u64) -> FlowRecord {
    let loss = Loss { packets, bytes: packets * 100, records };
    FlowRecord::new(Arc::clone(interface), START, START + 60, Observation::SkipData(loss))
}

/// A parcel of the records.
pub(crate) fn parcel<'a>(records: &'a [FlowRecord], format: &'a Format, position: u64) -> Parcel<'a> {
    Parcel { records, format, position }
}

/// A flow as a collector reads it. What it can't know is none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Seen {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) src: IpAddr,
    pub(crate) dst: IpAddr,
    pub(crate) src_port: u16,
    pub(crate) dst_port: u16,
    pub(crate) protocol: u8,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) tcp_flags: u16,
    pub(crate) forwarding_status: Option<u8>,
    pub(crate) is_egress: bool,
    pub(crate) interface: Option<String>,
    pub(crate) task: Option<String>,
}

impl Seen {
    /// What is to be read of these records, in a fixed order.
    pub(crate) fn expected(records: &[FlowRecord]) -> Vec<Self> {
        let mut seen: Vec<Self> = records
            .iter()
            .filter_map(|record| {
                let traffic = record.traffic()?;
                Some(Self {
                    start: record.start,
                    end: record.end,
                    src: traffic.src,
                    dst: traffic.dst,
                    src_port: traffic.src_port,
                    dst_port: traffic.dst_port,
                    protocol: traffic.protocol,
                    packets: traffic.packets,
                    bytes: traffic.bytes,
                    tcp_flags: traffic.tcp_flags.into(),
                    forwarding_status: Some(forwarding_status(traffic.drop_reason)),
                    is_egress: traffic.direction == Direction::Egress,
                    interface: Some(record.interface.eni.to_string()),
                    task: Some(record.interface.task.as_ref().map_or("-".to_owned(), ToString::to_string)),
                })
            })
            .collect();
        seen.sort();
        seen
    }
}

/// As IANA's registry of forwardingStatus has it (RFC 7270, 4.12).
fn forwarding_status(reason: Option<DropReason>) -> u8 {
    match reason.map(DropReason::as_str) {
        None => 64,
        Some("no-rule" | "closed-connection" | "table-full") => 129,
        Some("impersonation") => 130,
        Some("no-route") => 131,
        Some("spoofed-source") => 140,
        Some("router") => 141,
        Some(other) => panic!("{other} has no forwarding status"),
    }
}
