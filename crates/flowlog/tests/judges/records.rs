//! Records of every kind that a host makes.

use std::sync::Arc;

use enid_flowlog::{Direction, DropReason, FlowRecord, Interface, Loss, Observation, Traffic};
use enid_model::{EcsTask, Tags, TrafficClass};

/// The beginning of a slot, and of an hour.
pub(crate) const SLOT: u64 = 1_529_510_400;

fn interface(task: Option<&str>) -> Interface {
    let identifier = |text: &str| text.parse().ok();
    let ecs = EcsTask {
        cluster_arn: identifier("arn:aws:ecs:us-east-1:123456789012:cluster/shop"),
        cluster_name: identifier("shop"),
        service_name: identifier("web"),
        task_definition_arn: identifier("arn:aws:ecs:us-east-1:123456789012:task-definition/web:7"),
        task_arn: identifier("arn:aws:ecs:us-east-1:123456789012:task/shop/0b69d5c0d655"),
        task_id: identifier("0b69d5c0d655"),
        container_id: identifier("0b69d5c0d655-1"),
        second_container_id: None,
    };
    Interface {
        account_id: "123456789012".parse().unwrap(),
        eni: "eni-1235b8ca123456789".parse().unwrap(),
        task: task.map(|task| task.parse().unwrap()),
        vpc: "vpc-abcdefab012345678".parse().unwrap(),
        subnet: "subnet-aaaaaaaa012345678".parse().unwrap(),
        region: "us-east-1".parse().unwrap(),
        zone: "use1-az3".parse().unwrap(),
        ecs: if task.is_some() { ecs } else { EcsTask::default() },
        tags: Tags::default(),
        shown_tags: [task.map(|_| "web%20shop".into()), None],
    }
}

/// Both families, refused and let through, both directions, with and without what may be absent; none and lost traffic;
/// in two slots.
pub(crate) fn records() -> Vec<FlowRecord> {
    let interfaces = [Arc::new(interface(Some("web-1"))), Arc::new(interface(None))];
    let mut records = Vec::new();
    for index in 0..64_u8 {
        let has = |bit: u8| index >> bit & 1 == 1;
        let [interface, other] =
            if has(0) { &interfaces } else { &[interfaces[1].clone(), interfaces[0].clone()] };
        let (src, dst) = if has(1) { ("2001:db8::1:2", "fd00::5") } else { ("10.0.1.7", "203.0.113.12") };
        let traffic = Traffic {
            src: src.parse().unwrap(),
            dst: dst.parse().unwrap(),
            src_port: if has(2) { 40_000 + u16::from(index) } else { 0 },
            dst_port: if has(2) { 443 } else { 0 },
            protocol: if has(2) { 6 } else { 1 },
            packets: u64::from(index),
            bytes: u64::from(index) << 40,
            drop_reason: has(3).then_some(DropReason::NoRule),
            tcp_flags: if has(2) { 19 } else { 0 },
            direction: if has(4) { Direction::Egress } else { Direction::Ingress },
            traffic_path: (has(4) && !has(3)).then_some(1),
            class: TrafficClass::ALL[usize::from(index) % 7],
        };
        let start = SLOT + u64::from(index) * 8;
        let observation = match index {
            10 => Observation::NoData,
            11 => Observation::SkipData(Loss { packets: 3, bytes: 252, records: 1 }),
            _ => Observation::Traffic(traffic),
        };
        let mut record = FlowRecord::new(Arc::clone(interface), start, start + 7, observation);
        record.next_hop = has(5).then(|| Arc::clone(other));
        record.src_service = has(1).then(|| "S3".into());
        record.dst_service = has(4).then(|| "AMAZON".into());
        records.push(record);
    }
    records
}
