//! Records for the tests of this crate.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test helpers")]

use std::net::IpAddr;
use std::sync::Arc;

use enid_model::{EcsTask, Identifier, Name, Tags, TrafficClass};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use crate::field::Field;
use crate::format::Format;
use crate::record::{Direction, DropReason, FlowRecord, Interface, Loss, Observation, Traffic};
use crate::value::Fields;

/// An ENI with the identifiers of the documentation's examples.
pub(crate) fn interface() -> Interface {
    Interface {
        account_id: "123456789010".parse().unwrap(),
        eni: "eni-1235b8ca123456789".parse().unwrap(),
        task: Some("web-1".parse().unwrap()),
        vpc: "vpc-abcdefab012345678".parse().unwrap(),
        subnet: "subnet-aaaaaaaa012345678".parse().unwrap(),
        region: "ap-southeast-2".parse().unwrap(),
        zone: "apse2-az3".parse().unwrap(),
        ecs: EcsTask {
            cluster_arn: identifier("arn:aws:ecs:ap-southeast-2:123456789010:cluster/shop"),
            cluster_name: identifier("shop"),
            service_name: identifier("web"),
            task_definition_arn: identifier("arn:aws:ecs:ap-southeast-2:123456789010:task-definition/web:7"),
            task_arn: identifier("arn:aws:ecs:ap-southeast-2:123456789010:task/shop/0b69d5c0d655"),
            task_id: identifier("0b69d5c0d655"),
            container_id: identifier("0b69d5c0d655-1"),
            second_container_id: identifier("0b69d5c0d655-2"),
        },
        tags: Tags::default(),
        shown_tags: [Some("web%20shop".into()), Some("blue".into())],
    }
}

fn identifier(text: &str) -> Option<Identifier> {
    text.parse().ok()
}

/// The documentation's accepted SSH flow.
pub(crate) fn ssh() -> FlowRecord {
    let interface = Arc::new(interface());
    FlowRecord {
        next_hop: Some(Arc::clone(&interface)),
        src_service: Some("EC2".into()),
        dst_service: Some("AMAZON".into()),
        interface,
        start: 1_418_530_010,
        end: 1_418_530_070,
        observation: Observation::Traffic(Traffic {
            src: "172.31.16.139".parse().unwrap(),
            dst: "172.31.16.21".parse().unwrap(),
            src_port: 20641,
            dst_port: 22,
            protocol: 6,
            packets: 20,
            bytes: 4249,
            drop_reason: None,
            tcp_flags: 3,
            direction: Direction::Ingress,
            traffic_path: None,
            class: TrafficClass::Application,
        }),
    }
}

/// The SSH flow with another end.
pub(crate) fn ending_at(end: u64) -> FlowRecord {
    FlowRecord { start: end.saturating_sub(10), end, ..ssh() }
}

/// The flow of a record that has one.
pub(crate) fn traffic_mut(record: &mut FlowRecord) -> &mut Traffic {
    match &mut record.observation {
        Observation::Traffic(traffic) => traffic,
        Observation::NoData | Observation::SkipData(_) => panic!("the record has no traffic"),
    }
}

/// The record's line.
pub(crate) fn line(format: &Format, record: &impl Fields) -> String {
    let mut line = String::new();
    format.render(record, &mut line);
    line
}

/// Any format: any fields, in any order.
pub(crate) fn any_format() -> impl Strategy<Value = Format> {
    subsequence(Field::ALL.to_vec(), 1..=Field::ALL.len())
        .prop_shuffle()
        .prop_map(|fields| Format::new(fields).expect("distinct fields"))
}

fn any_name() -> impl Strategy<Value = Name> {
    let letters: Vec<char> = "abcXYZ019".chars().collect();
    let others = letters.iter().copied().chain("-_.".chars()).collect::<Vec<_>>();
    (select(letters), prop::collection::vec(select(others), 0..20)).prop_map(|(first, rest)| {
        let text: String = std::iter::once(first).chain(rest).collect();
        text.parse().unwrap()
    })
}

fn any_identifier() -> impl Strategy<Value = Option<Identifier>> {
    prop::option::of("[a-z:/0-9-]{2,40}".prop_filter_map("a dash alone", |text| text.parse().ok()))
}

fn any_ecs() -> impl Strategy<Value = EcsTask> {
    let one = any_identifier;
    ((one(), one(), one(), one()), (one(), one(), one(), one())).prop_map(|(cluster, task)| EcsTask {
        cluster_arn: cluster.0,
        cluster_name: cluster.1,
        service_name: cluster.2,
        task_definition_arn: cluster.3,
        task_arn: task.0,
        task_id: task.1,
        container_id: task.2,
        second_container_id: task.3,
    })
}

/// What the tags shown may be: percent-encoded, and never empty.
fn any_tag() -> impl Strategy<Value = Option<Box<str>>> {
    prop::option::of("[a-z%20]{2,20}".prop_map(Box::from))
}

fn any_interface() -> impl Strategy<Value = Interface> {
    let id = || (0..1_u128 << 68).prop_map(|number| format!("{number:017x}"));
    let names = (any_name(), any_name(), any_name(), prop::option::of(any_name()));
    let ids = (id(), id(), id());
    (names, ids, any_ecs(), [any_tag(), any_tag()]).prop_map(
        |(names, (eni, vpc, subnet), ecs, shown_tags)| {
            let (account_id, region, zone, task) = names;
            Interface {
                account_id,
                eni: format!("eni-{eni}").parse().unwrap(),
                task: task.map(|task| task.as_str().parse().unwrap()),
                vpc: format!("vpc-{vpc}").parse().unwrap(),
                subnet: format!("subnet-{subnet}").parse().unwrap(),
                region,
                zone,
                ecs,
                tags: Tags::default(),
                shown_tags,
            }
        },
    )
}

fn any_addresses() -> impl Strategy<Value = (IpAddr, IpAddr)> {
    prop_oneof![
        any::<[[u8; 4]; 2]>().prop_map(|[src, dst]| (src.into(), dst.into())),
        any::<[[u8; 16]; 2]>().prop_map(|[src, dst]| (src.into(), dst.into())),
        any::<[u8; 2]>().prop_map(|[src, dst]| {
            let near = |last: u8| IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, u16::from(last)]);
            (near(src), near(dst))
        }),
    ]
}

fn any_traffic() -> impl Strategy<Value = Traffic> {
    let ports = any::<(u16, u16, u8)>();
    let counts = any::<(u64, u64, u8)>();
    let verdict = (
        prop::option::of(select(DropReason::ALL.to_vec())),
        select(vec![Direction::Ingress, Direction::Egress]),
        prop::option::of(1..=8_u8),
        select(TrafficClass::ALL.to_vec()),
    );
    (any_addresses(), ports, counts, verdict).prop_map(|(addresses, ports, counts, verdict)| Traffic {
        src: addresses.0,
        dst: addresses.1,
        src_port: ports.0,
        dst_port: ports.1,
        protocol: ports.2,
        packets: counts.0,
        bytes: counts.1,
        tcp_flags: counts.2,
        drop_reason: verdict.0,
        direction: verdict.1,
        traffic_path: verdict.2,
        class: verdict.3,
    })
}

fn any_service() -> impl Strategy<Value = Option<Arc<str>>> {
    prop::option::of(select(vec!["S3", "EC2", "AMAZON"]).prop_map(Arc::from))
}

/// Any record: traffic of either family, or none.
pub(crate) fn any_record() -> impl Strategy<Value = FlowRecord> {
    let loss = any::<[u64; 3]>().prop_map(|[packets, bytes, records]| Loss { packets, bytes, records });
    let observation = prop_oneof![
        6 => any_traffic().prop_map(Observation::Traffic),
        1 => Just(Observation::NoData),
        1 => loss.prop_map(Observation::SkipData),
    ];
    let interfaces = (any_interface(), prop::option::of(any_interface()));
    let services = (any_service(), any_service());
    (interfaces, any::<(u64, u64)>(), observation, services).prop_map(
        |((interface, next_hop), (start, end), observation, (src_service, dst_service))| FlowRecord {
            interface: Arc::new(interface),
            start,
            end,
            observation,
            next_hop: next_hop.map(Arc::new),
            src_service,
            dst_service,
        },
    )
}
