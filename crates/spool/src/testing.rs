//! Records for the tests of this crate.
#![allow(clippy::unwrap_used, reason = "test helpers")]

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use enid_flowlog::{Direction, DropReason, FlowRecord, Interface, Loss, Observation, Traffic};
use enid_model::{EcsTask, Tags, TrafficClass};
use proptest::prelude::*;
use proptest::sample::select;

use crate::{Balance, Balances, Reader, Spool, SpoolOptions, Sum};

/// The `number`th of some ENIs.
pub(crate) fn interface(number: u8) -> Arc<Interface> {
    let id = |kind: &str| format!("{kind}-{:017x}", u64::from(number) + 1);
    Arc::new(Interface {
        account_id: "123456789012".parse().unwrap(),
        eni: id("eni").parse().unwrap(),
        task: (!number.is_multiple_of(3)).then(|| format!("task-{number}").parse().unwrap()),
        vpc: id("vpc").parse().unwrap(),
        subnet: id("subnet").parse().unwrap(),
        region: "eu-central-1".parse().unwrap(),
        zone: "euc1-az2".parse().unwrap(),
        ecs: EcsTask { cluster_name: "shop".parse().ok(), ..EcsTask::default() },
        tags: Tags::new(BTreeMap::from([("Name".to_owned(), format!("ü {number}"))])).unwrap(),
        shown_tags: [None, None],
    })
}

pub(crate) fn balances(number: u8) -> Balances {
    let sum = Sum { packets: 3, bytes: 252 };
    let buckets = BTreeMap::from([("arp".to_owned(), sum)]);
    let egress = Balance { ledger: sum, buckets };
    Balances { interface: interface(number), egress, ingress: Balance::default() }
}

fn any_traffic() -> impl Strategy<Value = Traffic> {
    let addresses = prop_oneof![
        any::<[[u8; 4]; 2]>().prop_map(|pair| pair.map(IpAddr::from)),
        any::<[[u8; 16]; 2]>().prop_map(|pair| pair.map(IpAddr::from)),
    ];
    let numbers = (any::<[u16; 2]>(), any::<[u64; 2]>(), any::<[u8; 2]>());
    let verdict = (
        prop::option::of(select(DropReason::ALL.to_vec())),
        select(Direction::ALL.to_vec()),
        prop::option::of(1..=8_u8),
        select(TrafficClass::ALL.to_vec()),
    );
    (addresses, numbers, verdict).prop_map(|([src, dst], (ports, counts, small), verdict)| Traffic {
        src,
        dst,
        src_port: ports[0],
        dst_port: ports[1],
        protocol: small[0],
        packets: counts[0],
        bytes: counts[1],
        drop_reason: verdict.0,
        tcp_flags: small[1],
        direction: verdict.1,
        traffic_path: verdict.2,
        class: verdict.3,
    })
}

/// Any record. Only traffic has a next hop and services.
pub(crate) fn any_record() -> impl Strategy<Value = FlowRecord> {
    let service = || prop::option::of(select(vec!["S3", "EC2"]).prop_map(Arc::from));
    let next_hop = prop::option::of((0..4_u8).prop_map(interface));
    let traffic = (any_traffic(), next_hop, service(), service());
    let loss = any::<[u64; 3]>().prop_map(|[packets, bytes, records]| Loss { packets, bytes, records });
    let seen = prop_oneof![
        6 => traffic.prop_map(|(traffic, hop, src, dst)| (Observation::Traffic(traffic), hop, src, dst)),
        1 => Just((Observation::NoData, None, None, None)),
        1 => loss.prop_map(|loss| (Observation::SkipData(loss), None, None, None)),
    ];
    ((0..4_u8).prop_map(interface), any::<[u64; 2]>(), seen).prop_map(|(interface, [start, end], seen)| {
        let (observation, next_hop, src_service, dst_service) = seen;
        FlowRecord { interface, start, end, observation, next_hop, src_service, dst_service }
    })
}

/// An idle ENI's record, which tells its number by its beginning.
pub(crate) fn record(start: u64) -> FlowRecord {
    static IDLE: LazyLock<Arc<Interface>> = LazyLock::new(|| interface(1));
    FlowRecord::new(Arc::clone(&IDLE), start, start + 1, Observation::NoData)
}

pub(crate) fn open(folder: &Path) -> Spool {
    Spool::open(folder, SpoolOptions::default(), None).unwrap().0
}

/// Writes a batch of so many idle ENIs.
pub(crate) fn write(spool: &mut Spool, batch: u64, records: u64) {
    let mut writer = spool.begin(batch, batch * 60, batch * 60 + 60).unwrap();
    for place in 0..records {
        writer.push(&record(batch * 1_000_000 + place)).unwrap();
    }
    assert_eq!(writer.commit(&[balances(1)]).unwrap(), records);
}

/// What a reader finds: batches, how many records they have, and how many bytes are damaged.
pub(crate) fn read(folder: &Path, after: u64) -> Vec<(u64, usize, u64)> {
    let mut reader = Reader::open(folder, after).unwrap();
    let mut found = Vec::new();
    while let Some(mut batch) = reader.next_batch().unwrap() {
        let mut records = 0;
        while let Some(some) = batch.next_records().unwrap() {
            for record in &some {
                assert_eq!(record.start / 1_000_000, batch.number);
            }
            records += some.len();
        }
        found.push((batch.number, records, batch.damage().iter().map(|damage| damage.bytes).sum()));
    }
    found
}

/// The segments' files, oldest first.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "spool"));
    files.sort();
    files
}
