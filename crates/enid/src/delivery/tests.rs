//! Parcels out of spools of intervals that are 10 s long.

use std::path::Path;
use std::sync::Arc;

use enid_delivery::{FileOptions, FlowLog, Target, TrafficFilter};
use enid_flowlog::{
    Direction, DropReason, FlowLogId, FlowRecord, Format, Interface, Loss, Observation, Traffic,
};
use enid_model::{EcsTask, EniId, SubnetId, Tags, TrafficClass, VpcId};
use enid_spool::{Spool, SpoolOptions};

use super::cursor::Cursor;
use super::greatest_divisor;
use super::parcel::{Gathered, Reach, gather};

const BEGIN: u64 = 1_700_000_100 / 600 * 600;

fn interface() -> Arc<Interface> {
    Arc::new(Interface {
        account_id: "unknown".parse().unwrap(),
        eni: EniId::random(),
        task: None,
        vpc: VpcId::random(),
        subnet: SubnetId::random(),
        region: "local".parse().unwrap(),
        zone: "zone-a".parse().unwrap(),
        ecs: EcsTask::default(),
        tags: Tags::new([("Name".to_owned(), "web 1".to_owned())].into()).unwrap(),
        shown_tags: [None, None],
    })
}

fn flow(interface: &Arc<Interface>, time: u64, drop_reason: Option<DropReason>) -> FlowRecord {
    let traffic = Traffic {
        src: "10.0.0.4".parse().unwrap(),
        dst: "10.0.0.5".parse().unwrap(),
        src_port: 40_000,
        dst_port: 443,
        protocol: 6,
        packets: 1,
        bytes: 100,
        drop_reason,
        tcp_flags: 2,
        direction: Direction::Egress,
        traffic_path: None,
        class: TrafficClass::Application,
    };
    FlowRecord::new(Arc::clone(interface), time, time, Observation::Traffic(traffic))
}

fn flow_log(target: Target, destination: &str, seconds: u32) -> FlowLog {
    FlowLog {
        id: FlowLogId::random(),
        name: "all".parse().unwrap(),
        target,
        traffic: TrafficFilter::All,
        interval: seconds.try_into().unwrap(),
        format: Format::default(),
        destination: destination.parse().unwrap(),
        files: FileOptions::default(),
        interface_tags: [None, None],
    }
}

/// Writes batches of 10 s, each with one packet of one flow of each ENI.
fn fill(folder: &Path, enis: &[Arc<Interface>], batches: std::ops::RangeInclusive<u64>) {
    let mut spool = Spool::open(folder, SpoolOptions::default(), None).unwrap().0;
    for number in batches {
        let ended = BEGIN + number * 10;
        let mut batch = spool.begin(number, ended - 10, ended).unwrap();
        for eni in enis {
            batch.push(&flow(eni, ended - 5, None)).unwrap();
        }
        batch.commit(&[]).unwrap();
    }
}

fn next(folder: &Path, flow_log: &FlowLog, after: u64, forced: u64) -> Option<Gathered> {
    gather(folder, flow_log, Reach { after, written: 1_000, forced, exactly: None }, None).unwrap()
}

/// Where each record starts, and how many packets it has.
fn seen(gathered: &Gathered) -> Vec<(u64, u64)> {
    let packets = |record: &FlowRecord| record.traffic().unwrap().packets;
    gathered.records.iter().map(|record| (record.start - BEGIN, packets(record))).collect()
}

#[test]
fn a_collector_gets_each_interval_when_it_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let eni = interface();
    let minute = flow_log(Target::Eni(eni.eni), "ipfix+udp://127.0.0.1:1", 60);
    fill(folder.path(), std::slice::from_ref(&eni), 1..=5);
    assert!(next(folder.path(), &minute, 0, 0).is_none());
    assert!(next(folder.path(), &minute, 0, 4).is_none(), "what came after that is not forced");
    assert_eq!(seen(&next(folder.path(), &minute, 0, 5).unwrap()), [(5, 5)]);
    fill(folder.path(), std::slice::from_ref(&eni), 6..=13);
    let first = next(folder.path(), &minute, 0, 0).unwrap();
    assert_eq!((first.to, seen(&first)), (6, vec![(5, 6)]));
    let second = next(folder.path(), &minute, 6, 0).unwrap();
    assert_eq!((second.to, seen(&second)), (12, vec![(65, 6)]));
    assert!(next(folder.path(), &minute, 12, 0).is_none());
    // As often as records are made, nothing is to be added up.
    let short = flow_log(Target::Eni(eni.eni), "ipfix+udp://127.0.0.1:1", 10);
    let third = next(folder.path(), &short, 2, 0).unwrap();
    assert_eq!((third.to, seen(&third)), (3, vec![(25, 1)]));
    // What is repeated is repeated to the same end.
    let again = Reach { after: 6, written: 1_000, forced: 0, exactly: Some(9) };
    let again = gather(folder.path(), &minute, again, None).unwrap().unwrap();
    assert_eq!((again.to, seen(&again)), (9, vec![(65, 3)]));
}

#[test]
fn files_have_the_intervals_of_a_slot() {
    let folder = tempfile::tempdir().unwrap();
    let eni = interface();
    fill(folder.path(), std::slice::from_ref(&eni), 1..=29);
    let minute = flow_log(Target::Vpc(eni.vpc), "/logs", 60);
    assert!(next(folder.path(), &minute, 0, 0).is_none());
    fill(folder.path(), std::slice::from_ref(&eni), 30..=60);
    let slot = next(folder.path(), &minute, 0, 0).unwrap();
    assert_eq!((slot.to, seen(&slot)), (30, [5, 65, 125, 185, 245].map(|start| (start, 6)).to_vec()));
    let long = flow_log(Target::Vpc(eni.vpc), "/logs", 600);
    let both = next(folder.path(), &long, 0, 0).unwrap();
    assert_eq!((both.to, seen(&both)), (60, vec![(5, 60)]));
    // A slot need not end with an interval, nor need there be a batch at its end: a later one shows that it is over.
    let odd = flow_log(Target::Vpc(eni.vpc), "/logs", 40);
    let slot = next(folder.path(), &odd, 0, 0).unwrap();
    assert_eq!((slot.to, slot.records.len()), (28, 7));
    assert_eq!(next(folder.path(), &odd, 28, 0).unwrap().to, 60);
}

#[test]
fn what_is_too_much_for_memory_comes_in_parts() {
    const FLOWS: u32 = 200_000;
    let folder = tempfile::tempdir().unwrap();
    let eni = interface();
    let mut spool = Spool::open(folder.path(), SpoolOptions::default(), None).unwrap().0;
    // Of each flow two records, in batches of their own; and nothing of an idle ENI, which was not idle later.
    for (number, flows) in [(1, 0..FLOWS), (2, FLOWS..2 * FLOWS), (3, 0..2 * FLOWS)] {
        let mut batch = spool.begin(number, BEGIN + number * 10, BEGIN + number * 10 + 10).unwrap();
        batch.push(&FlowRecord::new(Arc::clone(&eni), BEGIN, BEGIN + 10, Observation::NoData)).unwrap();
        for number in flows {
            let mut record = flow(&eni, BEGIN + u64::from(number % 60), None);
            let Observation::Traffic(traffic) = &mut record.observation else { continue };
            traffic.src = (0x0a00_0000 | number).to_be_bytes().into();
            batch.push(&record).unwrap();
        }
        batch.commit(&[]).unwrap();
    }
    let log = flow_log(Target::Vpc(eni.vpc), "/logs", 600);
    let reach = Reach { after: 0, written: 3, forced: 3, exactly: None };
    let mut part = None;
    let mut seen = std::collections::HashSet::new();
    let mut positions = Vec::new();
    loop {
        let gathered = gather(folder.path(), &log, reach, part).unwrap().unwrap();
        assert!(gathered.records.len() < 2 * FLOWS as usize * 2 / 3, "{} in a part", gathered.records.len());
        assert!(gathered.records.is_sorted_by_key(|record| record.start));
        for record in &gathered.records {
            let traffic = record.traffic().expect("an ENI that is not idle is not said to be");
            assert_eq!(traffic.packets, 2);
            assert!(seen.insert(traffic.src), "{} is in two parts", traffic.src);
        }
        positions.push(gathered.position());
        let Some(next) = gathered.part.next() else { break };
        part = Some(next);
    }
    assert_eq!((seen.len(), positions.len()), (2 * FLOWS as usize, 2));
    assert_ne!(positions[0], positions[1]);
    assert_eq!(gather(folder.path(), &log, reach, None).unwrap().unwrap().position(), positions[0]);
}

#[test]
fn a_flow_log_has_what_is_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (interface(), interface());
    let mut spool = Spool::open(folder.path(), SpoolOptions::default(), None).unwrap().0;
    let mut batch = spool.begin(1, BEGIN, BEGIN + 10).unwrap();
    for record in
        [flow(&one, BEGIN, None), flow(&one, BEGIN, Some(DropReason::NoRule)), flow(&other, BEGIN, None)]
    {
        batch.push(&record).unwrap();
    }
    batch.push(&FlowRecord::new(Arc::clone(&other), BEGIN, BEGIN + 10, Observation::NoData)).unwrap();
    batch.commit(&[]).unwrap();
    let count = |flow_log: &FlowLog| next(folder.path(), flow_log, 0, 1).unwrap().records.len();
    let mut log = flow_log(Target::Subnet(one.subnet), "/logs", 10);
    assert_eq!(count(&log), 2);
    log.traffic = TrafficFilter::Reject;
    assert_eq!(count(&log), 1);
    log.target = Target::Vpc(other.vpc);
    assert_eq!(count(&log), 0, "an ENI that is not idle is not said to be");
    log.target = Target::Vpc(VpcId::random());
    assert_eq!(count(&log), 0);
    log.target = Target::Vpc(one.vpc);
    log.interface_tags = [Some("Name".to_owned()), Some("Other".to_owned())];
    let gathered = next(folder.path(), &log, 0, 1).unwrap();
    assert_eq!(gathered.records[0].interface.shown_tags, [Some("web%201".into()), None]);
}

#[test]
fn what_is_lost_is_said_once_and_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let (id, eni) = (FlowLogId::random(), interface());
    assert_eq!(Cursor::load(folder.path(), id).unwrap(), None);
    let mut cursor = Cursor::new(7);
    for time in [10, 20] {
        cursor.lose(&flow(&eni, time, None), (time, time + 10), Loss::default());
    }
    let idle = FlowRecord::new(Arc::clone(&eni), 0, 10, Observation::NoData);
    cursor.lose(&idle, (0, 10), Loss::default());
    cursor.save(folder.path(), id).unwrap();
    let mut cursor = Cursor::load(folder.path(), id).unwrap().unwrap();
    let said: Vec<_> = cursor.skip_data().collect();
    let loss = Loss { packets: 2, bytes: 200, records: 2 };
    assert_eq!((said.len(), said[0].start, said[0].end), (1, 10, 30));
    assert_eq!((said[0].loss(), cursor.total_lost()), (Some(&loss), loss));
    cursor.advance(9, said.len());
    assert_eq!((cursor.delivered, cursor.skip_data().count(), cursor.total_lost()), (9, 0, loss));
    Cursor::remove(folder.path(), id);
    assert_eq!(Cursor::load(folder.path(), id).unwrap(), None);
}

#[test]
fn records_are_made_as_often_as_all_intervals_need() {
    for (a, b, divisor) in [(60, 600, 60), (7, 60, 1), (40, 60, 20), (5, 5, 5)] {
        assert_eq!((greatest_divisor(a, b), greatest_divisor(b, a)), (divisor, divisor));
    }
}
