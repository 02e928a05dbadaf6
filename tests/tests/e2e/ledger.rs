//! Flow records and the ledgers they must agree with.

use std::net::IpAddr;

use enid_api::v1::{CountersRequest, DirectionAudit, DirectionCounters, EniCounters, PacketsAndBytes};
use enid_flowlog::{Aggregator, Direction, ParsedRecord};
use enid_spool::Reader;
use enid_testbed::Host;

/// Closes the interval.
#[track_caller]
pub(crate) fn flush(host: &Host) -> u64 {
    host.try_flush().unwrap_or_else(|error| panic!("flush: {error}"))
}

/// Every record that is in the spool, as `enictl flows` reads it.
#[track_caller]
pub(crate) fn records(host: &Host) -> Vec<ParsedRecord> {
    let mut reader = Reader::open(&host.state_directory().join("spool"), 0).unwrap();
    let mut records = Vec::new();
    while let Some(mut batch) = reader.next_batch().unwrap() {
        let mut flows = Aggregator::default();
        while let Some(some) = batch.next_records().unwrap() {
            flows.extend(some);
        }
        assert_eq!(batch.damage(), []);
        records.extend(flows.finish().iter().map(ParsedRecord::from));
    }
    records
}

/// Packets and bytes of the records of a task in one direction that `of` picks.
pub(crate) fn total(
    records: &[ParsedRecord],
    task: &str,
    direction: Direction,
    of: impl Fn(&ParsedRecord) -> bool,
) -> (u64, u64) {
    let chosen = records.iter().filter(|record| {
        record.task_name.as_deref() == Some(task) && record.flow_direction == Some(direction) && of(record)
    });
    chosen.fold((0, 0), |(packets, bytes), record| {
        (packets + record.packets.unwrap(), bytes + record.bytes.unwrap())
    })
}

/// Picks records of a protocol that a destination port belongs to.
pub(crate) fn to_port(protocol: u8, port: u16) -> impl Fn(&ParsedRecord) -> bool {
    move |record| record.protocol == Some(protocol) && record.dstport == Some(port)
}

/// Picks records of a protocol between two addresses.
pub(crate) fn between(protocol: u8, source: IpAddr, destination: IpAddr) -> impl Fn(&ParsedRecord) -> bool {
    move |record| {
        record.protocol == Some(protocol)
            && record.srcaddr == Some(source)
            && record.dstaddr == Some(destination)
    }
}

/// Asserts that both ledgers of every ENI close.
#[track_caller]
pub(crate) fn assert_closed(host: &Host) {
    for eni in host.audit() {
        for (direction, audit) in [("egress", eni.egress.unwrap()), ("ingress", eni.ingress.unwrap())] {
            let task = &eni.task;
            let (found, wire) = wire_sides(&audit);
            assert_eq!(
                found, wire,
                "{task} {direction}: records + not logged + pending + buckets, wire ledger: {audit:?}"
            );
            assert_eq!(audit.interface_ledger, audit.kernel, "{task} {direction}: interface ledger, kernel");
        }
    }
}

fn wire_sides(audit: &DirectionAudit) -> ((u64, u64), (u64, u64)) {
    // What is not kept is 0 as long as the spool has room.
    let parts = [&audit.records, &audit.not_kept, &audit.not_logged, &audit.pending, &audit.buckets];
    let sum = parts.into_iter().fold((0, 0), |sum, part| {
        let PacketsAndBytes { packets, bytes } = part.unwrap();
        (sum.0 + packets, sum.1 + bytes)
    });
    let wire = audit.wire_ledger.unwrap();
    (sum, (wire.packets, wire.bytes))
}

/// Asserts that nothing waits to be written.
#[track_caller]
pub(crate) fn assert_nothing_pending(host: &Host) {
    for eni in host.audit() {
        for audit in [eni.egress.unwrap(), eni.ingress.unwrap()] {
            assert_eq!(audit.pending.unwrap(), PacketsAndBytes::default(), "{}", eni.task);
        }
    }
}

/// The counters of a task.
#[track_caller]
pub(crate) fn counters(host: &Host, task: &str) -> EniCounters {
    let request = CountersRequest { task: Some(task.to_owned()) };
    host.call(async |client| client.flows().counters(request).await).unwrap().enis.remove(0)
}

/// What a bucket or class of one direction has counted.
pub(crate) fn named(counters: &DirectionCounters, name: &str) -> (u64, u64) {
    let all = counters.classes.iter().chain(&counters.buckets);
    all.filter(|counter| counter.name == name).fold((0, 0), |_, found| (found.packets, found.bytes))
}
