//! Files of many hosts, as their daemons deliver them: the same records in both layouts, an hour a folder.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use enid_flowlog::{
    Direction, DropReason, FileKind, FileSeries, FlowRecord, Format, Interface, Layout, Loss, Observation,
    Traffic,
};
use enid_model::{EcsTask, Tags, TrafficClass};

pub(crate) const HOSTS: u64 = 20;
const HOURS: u64 = 4;
/// One in a quarter of an hour: files take time to write.
const SLOTS_AN_HOUR: u64 = 4;
const SLOT_AFTER_SLOT: u64 = 900;
/// 2026-01-31 10:00:00 UTC.
const BEGIN: u64 = 1_769_853_600;
const TASKS: [&str; 3] = ["web", "db", "worker"];
const REASONS: [DropReason; 4] =
    [DropReason::NoRule, DropReason::ClosedConnection, DropReason::SpoofedSource, DropReason::NoRoute];

/// Writes the files of hosts below a folder for each layout.
pub(crate) fn write(hosts: Range<u64>, hive: &Path, plain: &Path) {
    for host in hosts {
        for hour in 0..HOURS {
            let records = records(host, hour);
            for (folder, hive_partitions) in [(hive, true), (plain, false)] {
                let files =
                    series(host, hive_partitions).files(&Format::complete(), &records, hour + 1).unwrap();
                for file in files {
                    let path = folder.join(&file.key);
                    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                    // No file of a host takes the place of another's.
                    std::fs::File::create_new(&path).unwrap();
                    std::fs::write(&path, file.bytes).unwrap();
                }
            }
        }
    }
}

/// All hosts deliver one flow log, the harder case: then the hash alone tells their files apart.
fn series(host: u64, hive_partitions: bool) -> FileSeries {
    FileSeries {
        account: account(host).parse().unwrap(),
        region: region(host).parse().unwrap(),
        id: "fl-0d1f7a93c5b2e8460".parse().unwrap(),
        writer: format!("host-{host}"),
        kind: FileKind::Parquet,
        layout: Layout { hive_partitions, hourly_partitions: true },
    }
}

const fn account(host: u64) -> &'static str {
    if host.is_multiple_of(2) { "111122223333" } else { "012345678901" }
}

const fn region(host: u64) -> &'static str {
    if host < HOSTS / 2 { "eu-central-1" } else { "us-east-1" }
}

/// Numbers that look random, and are the same in every run of every version: the documentation shows what they give.
struct Numbers(u64);

impl Numbers {
    /// Below a bound. SplitMix64.
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }
}

/// An hour of a host: in each slot, flows of each task and of the host itself, an ENI without any, and now and then some
/// that were given up.
fn records(host: u64, hour: u64) -> Vec<FlowRecord> {
    let mut numbers = Numbers(host << 32 | hour);
    let interfaces: Vec<_> = (0..=TASKS.len()).map(|task| interface(host, task)).collect();
    let mut records = Vec::new();
    for slot in 0..SLOTS_AN_HOUR {
        let begin = BEGIN + hour * 3_600 + slot * SLOT_AFTER_SLOT;
        for (task, interface) in interfaces.iter().enumerate() {
            for _ in 0..4 + numbers.below(5) {
                let traffic = traffic(&mut numbers, host, task as u64);
                let start = begin + numbers.below(200);
                let mut record = FlowRecord::new(
                    Arc::clone(interface),
                    start,
                    start + numbers.below(100),
                    Observation::Traffic(traffic),
                );
                if numbers.below(4) == 0 {
                    record.dst_service = Some("S3".into());
                }
                records.push(record);
            }
        }
        let idle = &interfaces[usize::try_from(slot).unwrap() % interfaces.len()];
        records.push(FlowRecord::new(Arc::clone(idle), begin + 240, begin + 299, Observation::NoData));
        if numbers.below(16) == 0 {
            let loss = Loss { packets: 1 + numbers.below(90), bytes: 60 + numbers.below(9_000), records: 1 };
            records.push(FlowRecord::new(
                Arc::clone(idle),
                begin + 240,
                begin + 299,
                Observation::SkipData(loss),
            ));
        }
    }
    records.sort_by_key(|record| record.start);
    records
}

/// One of a task, or of the host itself, which has none.
fn interface(host: u64, task: usize) -> Arc<Interface> {
    let name = TASKS.get(task).map(|name| format!("{name}-{host}"));
    let ecs = name.as_ref().map(|name| EcsTask {
        cluster_name: "shop".parse().ok(),
        task_id: format!("{:032x}", host << 8 | task as u64).parse().ok(),
        task_arn: format!("arn:aws:ecs:{}:{}:task/shop/{name}", region(host), account(host)).parse().ok(),
        ..EcsTask::default()
    });
    Arc::new(Interface {
        account_id: account(host).parse().unwrap(),
        eni: format!("eni-{:017x}", host << 8 | task as u64).parse().unwrap(),
        task: name.map(|name| name.parse().unwrap()),
        vpc: "vpc-0b1c5d7a9e3f20468".parse().unwrap(),
        subnet: format!("subnet-{:017x}", host % 4).parse().unwrap(),
        region: region(host).parse().unwrap(),
        zone: format!("zone-{}", host % 4).parse().unwrap(),
        ecs: ecs.unwrap_or_default(),
        tags: Tags::default(),
        shown_tags: [Some("team%20a".into()), None],
    })
}

/// With another host's task, with somebody outside, or refused; over IPv6 as well.
fn traffic(numbers: &mut Numbers, host: u64, task: u64) -> Traffic {
    let is_ipv6 = numbers.below(5) == 0;
    let address = |host: u64, task: u64| {
        if is_ipv6 {
            format!("fd65:6e69:6400:{host:x}::{:x}", task + 4)
        } else {
            format!("10.0.{host}.{}", task + 4)
        }
    };
    let peer = match numbers.below(3) {
        0 if is_ipv6 => format!("2001:db8::{:x}", numbers.below(16)),
        0 => format!("203.0.113.{}", numbers.below(16)),
        _ => address(numbers.below(HOSTS), numbers.below(3)),
    };
    let (own, is_egress) = (address(host, task), numbers.below(2) == 0);
    let (high, low) =
        (32_768 + u16::try_from(numbers.below(20_000)).unwrap(), numbers.one_of(&[443, 5432, 53]));
    let drop_reason = (numbers.below(6) == 0).then(|| numbers.one_of(&REASONS));
    let packets = 1 + numbers.below(3_000);
    let (src, dst) = if is_egress { (&own, &peer) } else { (&peer, &own) };
    Traffic {
        src: src.parse().unwrap(),
        dst: dst.parse().unwrap(),
        src_port: if is_egress { high } else { low },
        dst_port: if is_egress { low } else { high },
        protocol: if low == 53 { 17 } else { 6 },
        packets,
        bytes: packets * (40 + numbers.below(1_400)),
        drop_reason,
        tcp_flags: if low == 53 { 0 } else { 19 },
        direction: if is_egress { Direction::Egress } else { Direction::Ingress },
        traffic_path: (is_egress && drop_reason.is_none()).then_some(1),
        class: numbers.one_of(&TrafficClass::ALL),
    }
}
