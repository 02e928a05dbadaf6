//! Writes a directory of many hosts' files, and reads it: what `scripts/bench flowlog files` measures. Run it with `--release`.
//!
//!     files write DIRECTORY RECORDS [parquet|gzip]
//!     files filter DIRECTORY          the records of one task in one twelfth of the time
//!     files filter-all DIRECTORY      the records of one task
//!     files top DIRECTORY             the ten peers with most bytes
#![allow(clippy::print_stdout, reason = "the figures are what it is for")]

use std::env;
use std::error::Error;
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use enid_flowlog::{
    Direction, Field, FileKind, FileSeries, Filter, FlowLogId, FlowRecord, Format, GroupBy, Interface,
    Layout, Observation, Place, Query, SLOT_SECONDS, Scan, SortBy, Summary, Traffic, no_progress,
};
use enid_model::{EcsTask, EniId, SubnetId, Tags, TrafficClass, VpcId};

const HOSTS: u64 = 10;
const TASKS: u64 = 100;
/// An hour.
const SLOTS: u64 = 12;
const BEGIN: u64 = 1_700_000_400;
const FORMAT: &str = "${version} ${account-id} ${interface-id} ${srcaddr} ${dstaddr} ${srcport} ${dstport} ${protocol} \
    ${packets} ${bytes} ${start} ${end} ${action} ${log-status} ${flow-direction} ${traffic-class} ${task-name}";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = env::args().collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let begin = Instant::now();
    match arguments.get(1..).unwrap_or_default() {
        ["write", directory, records, kind @ ..] => {
            let kind = if kind == ["gzip"] { FileKind::Gzip } else { FileKind::Parquet };
            write(directory, records.parse()?, kind)?;
        }
        ["filter", directory] => {
            let since = Some(BEGIN + 5 * SLOT_SECONDS);
            filter(directory, Filter { since, until: since.map(|since| since + SLOT_SECONDS), ..one_task()? })?;
        }
        ["filter-all", directory] => filter(directory, one_task()?)?,
        ["top", directory] => top(directory)?,
        _ => return Err("usage: files write DIRECTORY RECORDS [gzip] | filter DIRECTORY | filter-all DIRECTORY | top DIRECTORY".into()),
    }
    println!("seconds {:.3}", begin.elapsed().as_secs_f64());
    Ok(())
}

fn one_task() -> Result<Filter, Box<dyn Error>> {
    Ok(Filter { task: Some("web-3-42".parse()?), ..Filter::default() })
}

fn write(directory: &str, records: u64, kind: FileKind) -> Result<(), Box<dyn Error>> {
    let format: Format = FORMAT.parse()?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let place = Place::Directory(directory.into());
    let mut random = fastrand::Rng::with_seed(7);
    let (mut encoding, mut writing) = (0.0, 0.0);
    for host in 0..HOSTS {
        let interfaces: Vec<_> = (0..TASKS).map(|task| interface(host, task)).collect::<Result<_, _>>()?;
        let series = FileSeries {
            account: "123456789012".parse()?,
            region: "eu-central-1".parse()?,
            id: FlowLogId::derived_from("bench"),
            writer: format!("host-{host}"),
            kind,
            layout: Layout { hive_partitions: true, hourly_partitions: false },
        };
        for slot in 0..SLOTS {
            let count = records / HOSTS / SLOTS;
            let begin = BEGIN + slot * SLOT_SECONDS;
            let mut records: Vec<_> = (0..count)
                .map(|_| record(&mut random, &interfaces, begin))
                .collect::<Option<_>>()
                .ok_or("no interfaces")?;
            records.sort_by_key(|record| record.start);
            let started = Instant::now();
            let files = series.files(&format, &records, slot)?;
            encoding += started.elapsed().as_secs_f64();
            for file in files {
                runtime.block_on(place.put(&file.key, file.bytes.into()))?;
            }
            writing += started.elapsed().as_secs_f64();
        }
    }
    println!("encoding {encoding:.3}");
    println!("writing {writing:.3}");
    Ok(())
}

fn filter(directory: &str, filter: Filter) -> Result<(), Box<dyn Error>> {
    let mut scan = Scan::of_path(Path::new(directory), Query { filter, ..Query::default() })?;
    let format: Format = FORMAT.parse()?;
    let (mut count, mut bytes, mut line) = (0_u64, 0_u64, String::new());
    scan.for_each(&no_progress, |record| {
        if let Ok(record) = record {
            line.clear();
            format.render(&record, &mut line);
            count += 1;
            bytes += line.len() as u64;
        }
        ControlFlow::Continue(())
    });
    println!("files {} records {count} characters {bytes}", scan.files());
    Ok(())
}

fn top(directory: &str) -> Result<(), Box<dyn Error>> {
    let needs = Summary::needs(GroupBy::Peer);
    let fields = Some(needs.iter().map(|(field, _)| *field).collect::<Vec<Field>>());
    let mut scan = Scan::of_path(Path::new(directory), Query { fields, needs, ..Query::default() })?;
    let threads = std::thread::available_parallelism()?.get();
    let summary = scan.summarize(GroupBy::Peer, threads, &no_progress, &|error| println!("{error}"));
    for (key, totals) in summary.top(10, SortBy::Bytes) {
        println!("{key} {} {} {}", totals.bytes, totals.packets, totals.flows);
    }
    println!("records {}", summary.total().flows);
    Ok(())
}

fn interface(host: u64, task: u64) -> Result<Arc<Interface>, enid_model::ModelError> {
    Ok(Arc::new(Interface {
        account_id: "123456789012".parse()?,
        eni: EniId::random(),
        task: Some(format!("web-{host}-{task}").parse()?),
        vpc: VpcId::random(),
        subnet: SubnetId::random(),
        region: "eu-central-1".parse()?,
        zone: "euc1-az2".parse()?,
        ecs: EcsTask::default(),
        tags: Tags::default(),
        shown_tags: [None, None],
    }))
}

/// A flow of a random task with a random peer, of which few have many flows.
fn record(random: &mut fastrand::Rng, interfaces: &[Arc<Interface>], slot: u64) -> Option<FlowRecord> {
    let interface = random.choice(interfaces)?;
    let own = IpAddr::from([10, 0, 1, random.u8(..100)]);
    let peer = IpAddr::from((0x0a01_0000 | random.u32(..0x1_0000) & random.u32(..0x1_0000)).to_be_bytes());
    let is_egress = random.bool();
    let start = slot + random.u64(..SLOT_SECONDS);
    let end = (start + random.u64(..60)).min(slot + SLOT_SECONDS - 1);
    let (high, low) = (random.u16(32_768..60_999), 443);
    let packets = random.u64(1..1_000);
    let traffic = Traffic {
        src: if is_egress { own } else { peer },
        dst: if is_egress { peer } else { own },
        src_port: if is_egress { high } else { low },
        dst_port: if is_egress { low } else { high },
        protocol: if random.u8(..8) == 0 { 17 } else { 6 },
        packets,
        bytes: packets * random.u64(40..1_500),
        drop_reason: None,
        tcp_flags: 19,
        direction: if is_egress { Direction::Egress } else { Direction::Ingress },
        traffic_path: None,
        class: if random.u8(..16) == 0 { TrafficClass::ImagePull } else { TrafficClass::Application },
    };
    Some(FlowRecord::new(Arc::clone(interface), start, end, Observation::Traffic(traffic)))
}
