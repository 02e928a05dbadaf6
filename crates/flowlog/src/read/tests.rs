#![allow(clippy::unwrap_used, reason = "test helpers")]

use std::fs;

use enid_model::TrafficClass;

use super::*;
use crate::directory::{LogDirectory, LogDirectoryOptions};
use crate::format::Format;
use crate::testing::ending_at;

/// The beginning of a slot.
const SLOT: u64 = 1_529_511_600;

/// A directory with one record at the beginning and one at the end of each of three slots.
fn directory() -> (tempfile::TempDir, Vec<PathBuf>) {
    let directory = tempfile::tempdir().unwrap();
    append(directory.path(), Format::default(), &[0, 299, 300, 599, 600, 899]);
    let files = flow_log_files(directory.path()).unwrap();
    (directory, files.into_iter().map(|(_, path)| path).collect())
}

fn append(path: &Path, format: Format, offsets: &[u64]) {
    let options = LogDirectoryOptions {
        account: "123456789012".parse().unwrap(),
        region: "us-east-1".parse().unwrap(),
        id: "fl-01234567890abcdef".parse().unwrap(),
        writer: "host-1".to_owned(),
        format,
        max_total_bytes: None,
    };
    let records: Vec<_> = offsets.iter().map(|offset| ending_at(SLOT + offset)).collect();
    let (mut log, _) = LogDirectory::open(path, options).unwrap();
    log.append(&records).unwrap();
}

fn range(since: Option<u64>, until: Option<u64>) -> Filter {
    Filter {
        since: since.map(|offset| SLOT + offset),
        until: until.map(|offset| SLOT + offset),
        ..Filter::default()
    }
}

/// The ends of the records, as offsets, and the errors.
fn outcome(path: &Path, filter: &Filter) -> (Vec<u64>, Vec<String>) {
    let mut ends = Vec::new();
    let mut errors = Vec::new();
    for record in read(path, filter).unwrap() {
        match record {
            Ok(record) => ends.push(record.end.unwrap() - SLOT),
            Err(error) => errors.push(error.to_string()),
        }
    }
    (ends, errors)
}

#[test]
fn records_come_in_the_order_of_their_slots() {
    let (directory, files) = directory();
    fs::write(directory.path().join("README"), "not a flow log\n").unwrap();
    fs::create_dir(directory.path().join("AWSLogs")).unwrap();
    let (ends, errors) = outcome(directory.path(), &Filter::default());
    assert_eq!(ends, [0, 299, 300, 599, 600, 899]);
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(outcome(&files[1], &Filter::default()).0, [300, 599]);
}

#[test]
fn files_outside_the_time_range_are_not_opened() {
    let (directory, files) = directory();
    for (since, until, opened, expected) in [
        (None, None, 3, &[0, 299, 300, 599, 600, 899][..]),
        (Some(300), Some(600), 1, &[300, 599]),
        (Some(299), Some(301), 2, &[299, 300]),
        (Some(301), None, 2, &[599, 600, 899]),
        (None, Some(0), 0, &[]),
        (Some(900), None, 0, &[]),
        (Some(300), Some(300), 0, &[]),
    ] {
        let filter = range(since, until);
        let count = read(directory.path(), &filter).unwrap().remaining_files();
        if !expected.is_empty() {
            assert_eq!(count, opened, "{since:?} {until:?}");
        }
        assert_eq!(outcome(directory.path(), &filter).0, expected, "{since:?} {until:?}");
    }
    fs::write(&files[0], "junk").unwrap();
    let (ends, errors) = outcome(directory.path(), &range(Some(300), None));
    assert_eq!((ends.len(), errors.len()), (4, 0), "{errors:?}");
}

#[test]
fn a_torn_end_is_reported_unless_the_file_is_the_newest() {
    let (directory, files) = directory();
    for file in &files {
        let torn = fs::read_to_string(file).unwrap();
        fs::write(file, torn.trim_end()).unwrap();
    }
    let (ends, errors) = outcome(directory.path(), &Filter::default());
    assert_eq!(ends, [0, 300, 600]);
    let torn =
        |file: &PathBuf| format!("{}: line 3: the line is torn: the file ends within it", file.display());
    assert_eq!(errors, [torn(&files[0]), torn(&files[1])]);
}

#[test]
fn a_file_whose_header_is_on_its_way_is_empty() {
    let (directory, files) = directory();
    for begun in ["", "version acc"] {
        fs::write(&files[2], begun).unwrap();
        let (ends, errors) = outcome(directory.path(), &Filter::default());
        assert_eq!((&*ends, errors.len()), (&[0, 299, 300, 599][..], 0), "{errors:?}");
    }
}

#[test]
fn a_bad_file_is_named_and_the_next_follows() {
    let (directory, files) = directory();
    fs::write(&files[1], "version srcadr\n1 2\n").unwrap();
    let (ends, errors) = outcome(directory.path(), &Filter::default());
    assert_eq!(ends, [0, 299, 600, 899]);
    assert_eq!(errors.len(), 1);
    assert!(errors[0].starts_with(files[1].to_str().unwrap()), "{errors:?}");
}

#[test]
fn a_file_without_a_needed_field_is_named_and_the_next_follows() {
    let (directory, files) = directory();
    append(directory.path(), Format::complete(), &[301]);
    let filter = Filter { class: Some(TrafficClass::Application), ..range(Some(300), Some(600)) };
    let (ends, errors) = outcome(directory.path(), &filter);
    assert_eq!(ends, [301]);
    let expected = "the file does not hold the field `traffic-class` that --class needs";
    assert_eq!(errors, [format!("{}: {expected}", files[1].display())]);
}

#[test]
fn a_file_that_is_removed_meanwhile_is_passed_over() {
    let (directory, files) = directory();
    let records = read(directory.path(), &Filter::default()).unwrap();
    fs::remove_file(&files[0]).unwrap();
    assert_eq!(records.map(Result::unwrap).count(), 4);
}

#[test]
fn a_path_that_is_not_there_is_named() {
    let error = read(Path::new("/nowhere/at/all"), &Filter::default()).unwrap_err();
    assert_eq!(error.to_string(), "can't read /nowhere/at/all: No such file or directory (os error 2)");
}
