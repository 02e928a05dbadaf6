#![allow(clippy::unwrap_used, reason = "test helpers")]

use std::collections::BTreeSet;
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;

use enid_model::TrafficClass;
use proptest::prelude::*;

use super::*;
use crate::field::FieldKind;
use crate::files::{FileSeries, Layout, encode_records};
use crate::record::FlowRecord;
use crate::summary::{GroupBy, SortBy, Summary};
use crate::testing::{any_format, any_record, ending_at, line, ssh};

/// The beginning of a slot, and of an hour.
const SLOT: u64 = 1_529_510_400;

fn series(kind: FileKind, layout: Layout, writer: &str) -> FileSeries {
    FileSeries {
        account: "123456789012".parse().unwrap(),
        region: "us-east-1".parse().unwrap(),
        id: "fl-01234567890abcdef".parse().unwrap(),
        writer: writer.to_owned(),
        kind,
        layout,
    }
}

fn put(directory: &Path, series: &FileSeries, format: &Format, offsets: &[u64]) -> Vec<PathBuf> {
    let records: Vec<_> = offsets.iter().map(|offset| ending_at(SLOT + offset)).collect();
    let files = series.files(format, &records, 1).unwrap();
    assert_eq!(files.iter().map(|file| file.records).sum::<usize>(), records.len());
    let write = |file: crate::files::RecordFile| {
        let path = directory.join(&file.key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &file.bytes).unwrap();
        path
    };
    files.into_iter().map(write).collect()
}

fn range(since: Option<u64>, until: Option<u64>) -> Filter {
    let second = |offset| SLOT + offset;
    Filter { since: since.map(second), until: until.map(second), ..Filter::default() }
}

fn query(filter: Filter) -> Query {
    Query { filter, ..Query::default() }
}

/// The records' lines and the errors, in order.
fn read(path: &Path, query: Query, format: &Format) -> (Vec<String>, Vec<String>) {
    let (mut lines, mut errors) = (Vec::new(), Vec::new());
    Scan::of_path(path, query).unwrap().for_each(&no_progress, |record| {
        match record {
            Ok(record) => lines.push(line(format, &record)),
            Err(error) => errors.push(error.to_string()),
        }
        ControlFlow::Continue(())
    });
    (lines, errors)
}

/// The ends of the records, as offsets, and the errors.
fn outcome(path: &Path, filter: Filter) -> (Vec<u64>, Vec<String>) {
    let (lines, errors) = read(path, query(filter), &"${end}".parse().unwrap());
    (lines.iter().map(|end| end.parse::<u64>().unwrap() - SLOT).collect(), errors)
}

const LAYOUTS: [Layout; 4] = [
    Layout { hive_partitions: false, hourly_partitions: false },
    Layout { hive_partitions: false, hourly_partitions: true },
    Layout { hive_partitions: true, hourly_partitions: false },
    Layout { hive_partitions: true, hourly_partitions: true },
];

#[test]
fn files_of_all_kinds_layouts_and_hosts_read_as_one_in_the_order_of_their_slots() {
    let directory = tempfile::tempdir().unwrap();
    for (index, kind) in FileKind::ALL.into_iter().enumerate() {
        for (layout, writer) in LAYOUTS.into_iter().zip(["a", "b", "c", "d"]) {
            let offset = index as u64 * 10;
            put(
                directory.path(),
                &series(kind, layout, writer),
                &Format::default(),
                &[3_600 + offset, offset],
            );
        }
    }
    fs::write(directory.path().join("AWSLogs/README.log"), "not a flow log\n").unwrap();
    let (ends, errors) = outcome(directory.path(), Filter::default());
    assert_eq!((ends.len(), &*errors), (24, &[][..]));
    assert!(ends.iter().take(12).all(|end| *end < 300), "{ends:?}");
    let scan = Scan::of_path(directory.path(), query(range(Some(3_600), None))).unwrap();
    assert_eq!(scan.files(), 12);
    let (ends, _) = outcome(directory.path(), range(Some(3_610), Some(3_611)));
    assert_eq!(ends, [3_610; 4]);
}

#[test]
fn files_outside_the_time_range_are_not_opened() {
    for kind in FileKind::ALL {
        let directory = tempfile::tempdir().unwrap();
        let files = put(
            directory.path(),
            &series(kind, LAYOUTS[3], "a"),
            &Format::default(),
            &[0, 299, 300, 599, 600, 899],
        );
        for (since, until, opened, expected) in [
            (None, None, 3, &[0, 299, 300, 599, 600, 899][..]),
            (Some(300), Some(600), 1, &[300, 599]),
            (Some(299), Some(301), 2, &[299, 300]),
            (Some(301), None, 2, &[599, 600, 899]),
            (None, Some(0), 0, &[]),
            (Some(900), None, 0, &[]),
        ] {
            let scan = Scan::of_path(directory.path(), query(range(since, until))).unwrap();
            assert_eq!(scan.files(), opened, "{since:?} {until:?}");
            assert_eq!(outcome(directory.path(), range(since, until)).0, expected, "{since:?} {until:?}");
        }
        fs::write(&files[0], "junk").unwrap();
        let (ends, errors) = outcome(directory.path(), range(Some(300), None));
        assert_eq!((ends.len(), errors.len()), (4, 0), "{errors:?}");
        let (ends, errors) = outcome(directory.path(), Filter::default());
        assert_eq!((ends.len(), errors.len()), (4, 1), "{errors:?}");
        assert!(errors[0].contains(files[0].to_str().unwrap()), "{errors:?}");
    }
}

#[test]
fn a_torn_end_is_reported() {
    let directory = tempfile::tempdir().unwrap();
    let files = put(
        directory.path(),
        &series(FileKind::Text, LAYOUTS[0], "a"),
        &Format::default(),
        &[0, 299, 300, 599],
    );
    for file in &files {
        let torn = fs::read_to_string(file).unwrap();
        fs::write(file, torn.trim_end()).unwrap();
    }
    let (ends, errors) = outcome(directory.path(), Filter::default());
    assert_eq!(ends, [0, 300]);
    let torn =
        |file: &PathBuf| format!("{}: line 3: the line is torn: the file ends within it", file.display());
    assert_eq!(errors, files.iter().map(torn).collect::<Vec<_>>());
    // What has not even a header is no error as long as it is empty.
    for (begun, count) in [("", 1), ("version acc", 2)] {
        fs::write(&files[1], begun).unwrap();
        assert_eq!(outcome(directory.path(), Filter::default()).1.len(), count, "{begun}");
    }
}

#[test]
fn a_file_without_a_needed_field_is_named_and_the_next_follows() {
    for kind in FileKind::ALL {
        let directory = tempfile::tempdir().unwrap();
        let lacking = put(directory.path(), &series(kind, LAYOUTS[0], "a"), &Format::default(), &[301]);
        put(directory.path(), &series(kind, LAYOUTS[0], "b"), &Format::complete(), &[302]);
        let filter = Filter { class: Some(TrafficClass::Application), ..range(Some(300), Some(600)) };
        let (ends, errors) = outcome(directory.path(), filter);
        assert_eq!(ends, [302]);
        let expected = "the file does not hold the field `traffic-class` that --class needs";
        assert_eq!(errors, [format!("{}: {expected}", lacking[0].display())]);
        let needs = vec![(Field::TaskName, "--by task")];
        let (_, errors) = read(directory.path(), Query { needs, ..Query::default() }, &Format::default());
        let expected = "the file does not hold the field `task-name` that --by task needs";
        assert_eq!(errors, [format!("{}: {expected}", lacking[0].display())]);
    }
}

#[test]
fn a_single_file_is_told_by_its_first_bytes() {
    let directory = tempfile::tempdir().unwrap();
    for kind in FileKind::ALL {
        let path = directory.path().join("whatever");
        fs::write(&path, encode_records(kind, &Format::complete(), &[ssh()]).unwrap()).unwrap();
        let (lines, errors) = read(&path, Query::default(), &Format::complete());
        assert_eq!((lines, errors), (vec![line(&Format::complete(), &ssh())], Vec::new()));
    }
    let error = Scan::of_path(Path::new("/nowhere/at/all"), Query::default()).unwrap_err();
    assert_eq!(error.to_string(), "can't read /nowhere/at/all: No such file or directory (os error 2)");
}

#[test]
fn only_row_groups_that_can_match_are_read_and_the_meter_ends_full() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x");
    // Three row groups, by the seconds that their records end in.
    let records: Vec<_> = (0..150_000_u64).map(|index| ending_at(SLOT + index / 1_000)).collect();
    fs::write(&path, encode_records(FileKind::Parquet, &Format::complete(), &records).unwrap()).unwrap();
    let mut scan = Scan::of_path(&path, query(range(Some(70), Some(72)))).unwrap();
    let calls = Mutex::new(Vec::new());
    let mut count = 0;
    scan.for_each(&|done, total| calls.lock().unwrap().push((done, total)), |record| {
        count += usize::from(record.is_ok());
        ControlFlow::Continue(())
    });
    assert_eq!(count, 2_000);
    let calls = calls.into_inner().unwrap();
    let total = fs::metadata(&path).unwrap().len();
    // What is passed over, and one group.
    assert_eq!((calls.len(), calls[1]), (2, (total, total)), "{calls:?}");
    assert!(calls[0].0 > total / 2);
    for filter in [
        Filter { task: "zzz".parse().ok(), ..Filter::default() },
        Filter { eni: "eni-00000000000000000".parse().ok(), ..Filter::default() },
        Filter { protocol: Some(17), ..Filter::default() },
        Filter { class: Some(TrafficClass::Exec), ..Filter::default() },
        Filter { port: Some(21), ..Filter::default() },
        Filter { port: Some(20_642), ..Filter::default() },
        Filter { src: "172.31.16.138".parse().ok(), ..Filter::default() },
        Filter { dst: "172.31.16.22".parse().ok(), ..Filter::default() },
        Filter { peer: "10.0.0.1".parse().ok(), ..Filter::default() },
    ] {
        let calls = AtomicUsize::new(0);
        Scan::of_path(&path, query(filter)).unwrap().for_each(
            &|_, _| {
                calls.fetch_add(1, Ordering::Relaxed);
            },
            |_| panic!("nothing matches"),
        );
        assert_eq!(calls.into_inner(), 1);
    }
}

#[test]
fn threads_add_up_what_one_reads_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let records: Vec<_> = (0..80_000_u64).map(|index| ending_at(SLOT + index / 400)).collect();
    for (kind, writer) in FileKind::ALL.into_iter().zip(["a", "b", "c"]) {
        for file in series(kind, LAYOUTS[0], writer).files(&Format::default(), &records, 7).unwrap() {
            let path = directory.path().join(file.key);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file.bytes).unwrap();
        }
    }
    fs::write(
        directory.path().join("1_vpcflowlogs_x_fl-01234567890abcdef_20180620T1600Z_00000000.log.parquet"),
        "junk",
    )
    .unwrap();
    let errors = Mutex::new(0);
    let totals = Scan::of_path(directory.path(), query(range(None, Some(150)))).unwrap().fold(
        3,
        &no_progress,
        &|_| *errors.lock().unwrap() += 1,
        || 0,
        |total, record| *total += u64::from(record.value(Field::End).is_some()),
    );
    assert_eq!((totals.len(), totals.iter().sum::<u64>()), (3, 3 * 60_000));
    assert_eq!(*errors.lock().unwrap(), 1);
}

#[test]
fn a_reader_may_break_off() {
    let directory = tempfile::tempdir().unwrap();
    put(directory.path(), &series(FileKind::Parquet, LAYOUTS[0], "a"), &Format::default(), &[0, 1, 2, 300]);
    let mut count = 0;
    Scan::of_path(directory.path(), Query::default()).unwrap().for_each(&no_progress, |_| {
        count += 1;
        if count == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!(count, 2);
}

/// What a record's field reads back as: the column of a count is signed.
fn published(kind: FileKind, field: Field, value: Option<Value<'_>>) -> Option<Value<'_>> {
    match value {
        Some(Value::Number(number)) if kind == FileKind::Parquet && field.kind() == FieldKind::Count => {
            Some(Value::Number(number.min(i64::MAX.unsigned_abs())))
        }
        other => other,
    }
}

fn check_record(
    kind: FileKind,
    format: &Format,
    written: &FlowRecord,
    read: &ScannedRecord<'_>,
) -> Result<(), TestCaseError> {
    for field in Field::ALL {
        let expected = written.value(*field).filter(|_| format.contains(*field));
        prop_assert_eq!(read.value(*field), published(kind, *field, expected), "{}", field);
    }
    Ok(())
}

fn check_read_back(
    kind: FileKind,
    format: &Format,
    records: &[FlowRecord],
    path: &Path,
) -> Result<(), TestCaseError> {
    fs::write(path, encode_records(kind, format, records).unwrap()).unwrap();
    let mut written = records.iter();
    let mut result = Ok(());
    Scan::of_path(path, Query::default()).unwrap().for_each(&no_progress, |read| {
        result = check_record(kind, format, written.next().unwrap(), &read.unwrap());
        if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    result?;
    prop_assert!(written.next().is_none());
    Ok(())
}

proptest! {
    // Each case writes and reads whole files.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_written_reads_back(format in any_format(), records in prop::collection::vec(any_record(), 0..40)) {
        let directory = tempfile::tempdir().unwrap();
        for kind in FileKind::ALL {
            check_read_back(kind, &format, &records, &directory.path().join("file"))?;
        }
    }

    #[test]
    fn what_a_filter_lets_through_is_found(
        groups in prop::collection::vec(prop::collection::vec(any_record(), 1..4), 1..4),
        of in any::<prop::sample::Index>(),
    ) {
        let records = groups.concat();
        let directory = tempfile::tempdir().unwrap();
        let one = of.get(&records);
        let address = |field| match one.value(field) {
            Some(Value::Address(address)) => address.to_string().parse().ok(),
            _ => None,
        };
        let port = |field| match one.value(field) {
            Some(Value::Number(port)) => u16::try_from(port).ok(),
            _ => None,
        };
        for filter in [
            Filter { src: address(Field::SrcAddr), ..Filter::default() },
            Filter { dst: address(Field::DstAddr), ..Filter::default() },
            Filter { peer: address(Field::SrcAddr), ..Filter::default() },
            Filter { peer: address(Field::DstAddr), port: port(Field::SrcPort), ..Filter::default() },
            Filter { port: port(Field::SrcPort), ..Filter::default() },
            Filter { port: port(Field::DstPort), ..Filter::default() },
        ] {
            let found = groups.iter().enumerate().flat_map(|(number, records)| {
                let path = directory.path().join(number.to_string());
                fs::write(&path, encode_records(FileKind::Parquet, &Format::complete(), records).unwrap()).unwrap();
                let (lines, errors) = read(&path, query(filter.clone()), &"${srcaddr} ${dstaddr} ${srcport} ${dstport}".parse().unwrap());
                assert!(errors.is_empty(), "{errors:?}");
                lines
            });
            let expected = records.iter().filter(|record| filter.matches(*record));
            let expected = expected.map(|record| line(&"${srcaddr} ${dstaddr} ${srcport} ${dstport}".parse().unwrap(), record));
            prop_assert_eq!(found.collect::<Vec<_>>(), expected.collect::<Vec<_>>(), "{:?}", filter);
        }
    }

    #[test]
    fn a_corrupt_file_is_errors_and_records_and_never_hangs(
        records in prop::collection::vec(any_record(), 1..10),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
        is_cut: bool,
    ) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        for kind in [FileKind::Gzip, FileKind::Parquet] {
            let mut bytes = encode_records(kind, &Format::complete(), &records).unwrap();
            for (at, byte) in &changes {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            if is_cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            fs::write(&path, &bytes).unwrap();
            read(&path, Query::default(), &Format::complete());
            if is_cut && bytes.len() > 4 && bytes.starts_with(b"PAR1") {
                let (lines, errors) = read(&path, Query::default(), &Format::complete());
                prop_assert_eq!((lines.len(), errors.len()), (0, 1));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_summary_of_columns_is_that_of_the_records(records in prop::collection::vec(any_record(), 0..40)) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        for group_by in GroupBy::ALL {
            let mut expected = Summary::new(*group_by);
            for record in &records { expected.add(record); }
            for kind in [FileKind::Text, FileKind::Parquet] {
                fs::write(&path, encode_records(kind, &Format::complete(), &records).unwrap()).unwrap();
                let query = Query { needs: Summary::needs(*group_by), ..Query::default() };
                let mut scan = Scan::of_path(&path, query).unwrap();
                let summary = scan.summarize(*group_by, 2, &no_progress, &|error| panic!("{error}"));
                let flows = |summary: &Summary| -> Vec<_> {
                    let groups = summary.top(usize::MAX, SortBy::Flows);
                    groups.into_iter().map(|(key, totals)| (key, totals.flows)).collect()
                };
                prop_assert_eq!(flows(&summary), flows(&expected), "{} {:?}", group_by, kind);
            }
        }
    }
}

#[test]
fn keys_of_a_repeated_delivery_are_the_same_and_of_others_are_not() {
    let records = [ending_at(SLOT)];
    let key = |writer: &str, format: &Format, position| {
        let series = series(FileKind::Parquet, LAYOUTS[0], writer);
        series.files(format, &records, position).unwrap().remove(0).key
    };
    let (format, other) = (Format::default(), Format::complete());
    assert_eq!(key("a", &format, 1), key("a", &format, 1));
    let keys = BTreeSet::from([
        key("a", &format, 1),
        key("b", &format, 1),
        key("a", &other, 1),
        key("a", &format, 2),
    ]);
    assert_eq!(keys.len(), 4);
    assert!(
        keys.iter().all(|key| key.contains("/2018/06/20/") && key.contains("_20180620T1600Z_")),
        "{keys:?}"
    );
}
