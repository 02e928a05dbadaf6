#![allow(clippy::unwrap_used, reason = "test helpers")]

use std::collections::BTreeSet;
use std::net::Ipv6Addr;
use std::ops::ControlFlow;

use super::*;
use crate::record::FlowRecord;
use crate::scan::{Query, Scan, no_progress};
use crate::testing::{ending_at, line, traffic_mut};

/// The beginning of a slot.
const SLOT: u64 = 1_529_510_400;

/// Records that hardly compress, in two slots.
fn records(count: u64) -> Vec<FlowRecord> {
    let mut random = fastrand::Rng::with_seed(7);
    let mut record = |index| {
        let mut record = ending_at(SLOT + index % 2 * SLOT_SECONDS);
        let traffic = traffic_mut(&mut record);
        traffic.src = Ipv6Addr::from(random.u128(..)).into();
        traffic.dst = Ipv6Addr::from(random.u128(..)).into();
        (traffic.packets, traffic.bytes) = (random.u64(..1 << 40), random.u64(..1 << 60));
        record
    };
    (0..count).map(&mut record).collect()
}

fn series(kind: FileKind) -> FileSeries {
    FileSeries {
        account: "123456789012".parse().unwrap(),
        region: "us-east-1".parse().unwrap(),
        id: "fl-01234567890abcdef".parse().unwrap(),
        writer: "host".to_owned(),
        kind,
        layout: Layout::default(),
    }
}

/// The lines of the records in the files, file by file.
fn read(files: &[RecordFile], format: &Format) -> Vec<Vec<String>> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let lines = |file: &RecordFile| {
        std::fs::write(&path, &file.bytes).unwrap();
        let mut lines = Vec::new();
        Scan::of_path(&path, Query::default()).unwrap().for_each(&no_progress, |record| {
            lines.push(line(format, &record.unwrap()));
            ControlFlow::Continue(())
        });
        assert_eq!(lines.len(), file.records);
        lines
    };
    files.iter().map(lines).collect()
}

#[test]
fn files_are_no_larger_than_allowed_and_hold_every_record_once() {
    let format = Format::complete();
    let all = records(20_000);
    for (kind, count, largest) in [
        (FileKind::Text, 6_000, 300_000),
        (FileKind::Gzip, 20_000, 700_000),
        (FileKind::Parquet, 6_000, 120_000),
    ] {
        let records = &all[..count];
        let slots = [0, 1].map(|odd| {
            let of_slot = records.iter().skip(odd).step_by(2);
            of_slot.map(|record| line(&format, record)).collect::<Vec<_>>()
        });
        let files = series(kind).files_of_size(&format, records, 1, largest).unwrap();
        let whole = series(kind).files(&format, records, 1).unwrap();
        let sizes: Vec<_> = files.iter().map(|file| file.bytes.len()).collect();
        assert_eq!(whole.len(), 2);
        // What is not split is called as ever, and what is split begins with that.
        assert_eq!(whole[0].key, files[0].key);
        assert!(files.len() >= 4 && sizes.iter().all(|size| *size <= largest), "{kind:?} {sizes:?}");
        // Not cut to pieces: a third of the room at least, except at the end of a slot.
        let small = sizes.iter().filter(|size| **size < largest / 3).count();
        assert!(small <= 2, "{kind:?} {sizes:?}");
        let keys: BTreeSet<_> = files.iter().map(|file| &file.key).collect();
        assert_eq!(keys.len(), files.len());
        let first = files.iter().position(|file| file.key.contains("_20180620T1605Z_")).unwrap();
        for (files, slot) in [&files[..first], &files[first..]].into_iter().zip(&slots) {
            assert_eq!(read(files, &format).concat(), *slot, "{kind:?}");
        }
        assert_eq!(series(kind).files_of_size(&format, records, 1, largest).unwrap(), files);
    }
}

#[test]
fn a_record_that_is_larger_than_a_file_has_one_alone() {
    let format = Format::complete();
    for kind in FileKind::ALL {
        let files = series(kind).files_of_size(&format, &records(6), 1, 1).unwrap();
        assert_eq!(files.iter().map(|file| file.records).collect::<Vec<_>>(), [1; 6]);
        assert_eq!(read(&files, &format).concat().len(), 6);
    }
}

#[test]
fn no_records_are_a_file_of_none() {
    for kind in FileKind::ALL {
        let none: [FlowRecord; 0] = [];
        let bytes = encode_records(kind, &Format::default(), &none).unwrap();
        let file = RecordFile { key: String::new(), bytes, records: 0 };
        assert_eq!(read(&[file], &Format::default()), [Vec::<String>::new()]);
        assert_eq!(series(kind).files(&Format::default(), &none, 1).unwrap(), []);
    }
}
