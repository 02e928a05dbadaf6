//! Measures rendering, writing, parsing and filtering on one core, in records a second: run it with `--release`.
#![allow(clippy::print_stdout, clippy::cast_precision_loss, reason = "the figures are what it is for")]

use std::error::Error;
use std::hint::black_box;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use enid_flowlog::{
    Direction, FileKind, Filter, FlowRecord, Format, GroupBy, Interface, LineParser, Observation, Summary,
    Traffic, encode_records,
};
use enid_model::{EcsTask, EniId, SubnetId, Tags, TrafficClass, VpcId};

const RECORDS: u32 = 200_000;
const INTERFACES: u32 = 20;
const ROUNDS: u32 = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let interfaces = (0..INTERFACES).map(interface).collect::<Result<Vec<_>, _>>()?;
    for (family, address) in [("IPv4", ipv4 as fn(u32) -> IpAddr), ("IPv6", ipv6)] {
        // The drain goes ENI by ENI, so neighbouring records mostly share one.
        let records: Vec<_> = interfaces
            .iter()
            .flat_map(|interface| {
                (0..RECORDS / INTERFACES).map(move |index| record(interface, index, address))
            })
            .collect();
        for (name, format) in [("default", Format::default()), ("complete", Format::complete())] {
            measure(&format!("{family} {name}"), &records, &format)?;
        }
    }
    Ok(())
}

fn measure(name: &str, records: &[FlowRecord], format: &Format) -> Result<(), Box<dyn Error>> {
    let mut text = String::new();
    report(name, "render", || {
        text.clear();
        for record in records {
            format.render(record, &mut text);
            text.push('\n');
        }
    });
    for (kind, what) in [(FileKind::Gzip, "to gzip"), (FileKind::Parquet, "to Parquet")] {
        let mut length = 0;
        report(name, what, || length = encode_records(kind, format, records).map_or(0, |bytes| bytes.len()));
        println!("{name:14} {what:12} {:>12.1} bytes/record", length as f64 / f64::from(RECORDS));
    }
    let mut parser = LineParser::new(format.clone());
    let mut parsed = Vec::with_capacity(records.len());
    for line in text.lines() {
        parsed.push(parser.parse(line)?);
    }
    report(name, "parse", || {
        for line in text.lines() {
            let _ = black_box(parser.parse(line));
        }
    });
    let filter =
        Filter { since: Some(1), port: Some(443), src: "10.0.0.0/8".parse().ok(), ..Filter::default() };
    report(name, "filter", || {
        black_box(parsed.iter().filter(|record| filter.matches(*record)).count());
    });
    report(name, "sum by peer", || {
        let mut summary = Summary::new(GroupBy::Peer);
        for record in &parsed {
            summary.add(record);
        }
        black_box(summary.total());
    });
    Ok(())
}

/// Prints the best of some rounds: the machine's other work only ever makes a round slower.
fn report(name: &str, what: &str, mut round: impl FnMut()) {
    let best = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            round();
            start.elapsed()
        })
        .min()
        .unwrap_or_default();
    println!("{name:14} {what:12} {:>12.0} records/s", f64::from(RECORDS) / best.as_secs_f64());
}

fn interface(index: u32) -> Result<Arc<Interface>, enid_model::ModelError> {
    Ok(Arc::new(Interface {
        account_id: "123456789012".parse()?,
        eni: EniId::random(),
        task: Some(format!("web-{index}").parse()?),
        vpc: VpcId::random(),
        subnet: SubnetId::random(),
        region: "eu-central-1".parse()?,
        zone: "euc1-az2".parse()?,
        ecs: EcsTask::default(),
        tags: Tags::default(),
        shown_tags: [None, None],
    }))
}

fn record(interface: &Arc<Interface>, index: u32, address: fn(u32) -> IpAddr) -> FlowRecord {
    FlowRecord::new(
        Arc::clone(interface),
        1_700_000_000 + u64::from(index % 60),
        1_700_000_059,
        Observation::Traffic(Traffic {
            src: address(index),
            dst: address(index / 7),
            src_port: 443,
            dst_port: u16::try_from(32_768 + index % 28_000).unwrap_or(u16::MAX),
            protocol: 6,
            packets: u64::from(index % 1_000) + 1,
            bytes: u64::from(index) * 1_477,
            drop_reason: None,
            tcp_flags: 19,
            direction: Direction::Ingress,
            traffic_path: None,
            class: TrafficClass::ImagePull,
        }),
    )
}

fn ipv4(index: u32) -> IpAddr {
    (0x0a00_0000 | index).to_be_bytes().into()
}

fn ipv6(index: u32) -> IpAddr {
    let [_, a, b, c] = index.to_be_bytes().map(u16::from);
    [0x2001, 0xdb8, 0x1234, 0xa100, a, b, 0xdf66, c].into()
}
