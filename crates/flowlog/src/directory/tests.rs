#![allow(clippy::unwrap_used, reason = "test helpers")]

use std::thread;

use proptest::prelude::*;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use super::*;
use crate::filter::Filter;
use crate::read::read;
use crate::testing::{ending_at, line};

/// The beginning of a slot, 2018-06-20T16:20Z.
const SLOT: u64 = 1_529_511_600;

fn options() -> LogDirectoryOptions {
    LogDirectoryOptions {
        account: "123456789012".parse().unwrap(),
        region: "us-east-1".parse().unwrap(),
        id: "fl-01234567890abcdef".parse().unwrap(),
        writer: "host-1".to_owned(),
        format: Format::default(),
        max_total_bytes: None,
    }
}

fn open(path: &Path) -> LogDirectory {
    LogDirectory::open(path, options()).unwrap().0
}

fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        path.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn only_file(path: &Path) -> PathBuf {
    let names = names(path);
    assert_eq!(names.len(), 1, "{names:?}");
    path.join(&names[0])
}

fn text(records: &[FlowRecord]) -> String {
    let format = Format::default();
    let lines = records.iter().map(|record| line(&format, record));
    std::iter::once(format.header()).chain(lines).map(|line| line + "\n").collect()
}

fn ends(path: &Path) -> Vec<u64> {
    read(path, &Filter::default()).unwrap().map(|record| record.unwrap().end.unwrap()).collect()
}

#[test]
fn there_is_a_file_for_each_slot_of_the_ends() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("made/on/the/way");
    let mut log = open(&path);
    let records = [SLOT + 300, SLOT, SLOT + 299, SLOT + 599, SLOT + 1].map(ending_at);
    log.append(&records).unwrap();
    let [first, second] = <[String; 2]>::try_from(names(&path)).unwrap();
    let prefix = "123456789012_vpcflowlogs_us-east-1_fl-01234567890abcdef_";
    assert!(first.starts_with(&format!("{prefix}20180620T1620Z_")), "{first}");
    assert!(second.starts_with(&format!("{prefix}20180620T1625Z_")), "{second}");
    let expected = [SLOT, SLOT + 299, SLOT + 1].map(ending_at);
    assert_eq!(fs::read_to_string(path.join(first)).unwrap(), text(&expected));
    let expected = [SLOT + 300, SLOT + 599].map(ending_at);
    assert_eq!(fs::read_to_string(path.join(second)).unwrap(), text(&expected));
    assert_eq!(log.sync().unwrap(), 0);
}

#[test]
fn a_writer_goes_on_where_the_last_one_stopped() {
    let directory = tempfile::tempdir().unwrap();
    let records = [1, 2, 3].map(|second| ending_at(SLOT + second));
    for record in &records {
        let (mut log, repaired) = LogDirectory::open(directory.path(), options()).unwrap();
        assert_eq!(repaired, Repaired::default());
        log.append(std::slice::from_ref(record)).unwrap();
    }
    assert_eq!(fs::read_to_string(only_file(directory.path())).unwrap(), text(&records));
}

#[test]
fn nothing_appended_makes_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = open(directory.path());
    log.append(&[]).unwrap();
    log.sync().unwrap();
    assert!(names(directory.path()).is_empty());
}

#[test]
fn a_torn_line_is_cut_off_whichever_file_it_is_in() {
    let directory = tempfile::tempdir().unwrap();
    open(directory.path()).append(&[SLOT, SLOT + 300].map(ending_at)).unwrap();
    let older = directory.path().join(&names(directory.path())[0]);
    let torn = fs::read_to_string(&older).unwrap() + "2 1234";
    fs::write(&older, torn).unwrap();
    let (_, repaired) = LogDirectory::open(directory.path(), options()).unwrap();
    assert_eq!(repaired, Repaired { files: 1, bytes: 6 });
    assert_eq!(ends(directory.path()), [SLOT, SLOT + 300]);
}

#[test]
fn another_format_or_writer_gets_files_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    open(directory.path()).append(&[ending_at(SLOT)]).unwrap();
    let other_format = LogDirectoryOptions { format: Format::complete(), ..options() };
    let other_writer = LogDirectoryOptions { writer: "host-2".to_owned(), ..options() };
    for options in [other_format, other_writer, options()] {
        let (mut log, _) = LogDirectory::open(directory.path(), options).unwrap();
        log.append(&[ending_at(SLOT)]).unwrap();
    }
    assert_eq!(names(directory.path()).len(), 3);
    assert_eq!(ends(directory.path()), [SLOT; 4]);
}

#[test]
fn a_file_with_another_header_is_not_written_to() {
    let directory = tempfile::tempdir().unwrap();
    open(directory.path()).append(&[ending_at(SLOT)]).unwrap();
    let file = only_file(directory.path());
    for other in ["bytes start\n1 2\n", "bytes\n"] {
        fs::write(&file, other).unwrap();
        let error = open(directory.path()).append(&[ending_at(SLOT)]).unwrap_err();
        assert!(error.to_string().contains(file.to_str().unwrap()), "{error}");
        assert_eq!(fs::read_to_string(&file).unwrap(), other);
    }
}

#[test]
fn two_writers_do_not_share_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let mut first = open(directory.path());
    first.append(&[ending_at(SLOT)]).unwrap();
    let error = open(directory.path()).append(&[ending_at(SLOT)]).unwrap_err();
    assert!(matches!(error, FlowLogError::Locked { .. }), "{error}");
    first.append(&[ending_at(SLOT)]).unwrap();
    assert_eq!(ends(directory.path()), [SLOT; 2]);
}

#[test]
fn the_oldest_files_go_when_there_is_too_much() {
    let directory = tempfile::tempdir().unwrap();
    let one = text(&[ending_at(SLOT)]).len() as u64;
    let options = LogDirectoryOptions { max_total_bytes: Some(2 * one), ..options() };
    fs::write(directory.path().join("notes.txt"), "x".repeat(10_000)).unwrap();
    let (mut log, _) = LogDirectory::open(directory.path(), options.clone()).unwrap();
    log.append(&[0, 300, 600].map(|offset| ending_at(SLOT + offset))).unwrap();
    assert_eq!(log.sync().unwrap(), 1);
    assert_eq!(ends(directory.path()), [SLOT + 300, SLOT + 600]);
    assert_eq!(log.sync().unwrap(), 0);
    assert!(directory.path().join("notes.txt").exists());

    let (mut log, _) =
        LogDirectory::open(directory.path(), LogDirectoryOptions { max_total_bytes: Some(0), ..options })
            .unwrap();
    log.append(&[ending_at(SLOT + 900)]).unwrap();
    assert_eq!(log.sync().unwrap(), 2);
    assert_eq!(ends(directory.path()), [SLOT + 900]);
}

#[test]
fn many_slots_at_once_keep_few_files_open() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = open(directory.path());
    let records: Vec<_> = (0..50).map(|slot| ending_at(SLOT + slot * 300)).collect();
    log.append(&records).unwrap();
    assert!(log.open.len() <= MAX_OPEN_FILES);
    log.append(&records).unwrap();
    assert_eq!(ends(directory.path()).len(), 100);
    assert_eq!(names(directory.path()).len(), 50);
}

#[test]
fn a_record_that_can_not_be_filed_takes_its_batch_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = open(directory.path());
    log.append(&[ending_at(SLOT)]).unwrap();
    let mut batch = vec![ending_at(SLOT + 1); RECORDS_A_WRITE];
    batch.extend([ending_at(SLOT + 300), ending_at(u64::MAX)]);
    assert!(matches!(log.append(&batch), Err(FlowLogError::Time(u64::MAX))));
    assert_eq!(ends(directory.path()), [SLOT]);
    assert_eq!(names(directory.path()).len(), 1);
    log.append(&[ending_at(SLOT + 2)]).unwrap();
    assert_eq!(ends(directory.path()), [SLOT, SLOT + 2]);
}

/// Runs with a file system of 64 KiB on the path, which no other thread sees and which ends with the thread.
fn with_small_disk(path: &Path, test: impl FnOnce() + Send) {
    thread::scope(|scope| {
        let test = scope.spawn(|| {
            // SAFETY: NEWNS changes this thread's view of the mounts alone; its file descriptors stay as they are.
            unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.expect("a mount namespace: this test needs root");
            mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
            mount("tmpfs", path, "tmpfs", MountFlags::empty(), c"size=64k").unwrap();
            test();
        });
        if let Err(failure) = test.join() {
            std::panic::resume_unwind(failure);
        }
    });
}

#[test]
fn a_full_disk_is_named_and_leaves_nothing_half_written() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    with_small_disk(path, || {
        let mut log = open(path);
        log.append(&[ending_at(SLOT), ending_at(SLOT + 1)]).unwrap();
        let before = fs::read_to_string(only_file(path)).unwrap();

        // Its first slot would fit, its second does not.
        let mut batch = vec![ending_at(SLOT + 2); 10];
        batch.extend(vec![ending_at(SLOT + 300); 1000]);
        let error = log.append(&batch).unwrap_err().to_string();
        assert!(error.starts_with(&format!("can't write to {}", path.display())), "{error}");
        assert!(error.contains("T1625Z_"), "{error}");
        assert!(error.contains("No space left on device"), "{error}");
        assert_eq!(fs::read_to_string(only_file(path)).unwrap(), before);

        // The same file, torn in the middle of the batch.
        let error = log.append(&vec![ending_at(SLOT + 2); 1000]).unwrap_err().to_string();
        assert!(error.contains("T1620Z_"), "{error}");
        assert_eq!(fs::read_to_string(only_file(path)).unwrap(), before);

        log.append(&[ending_at(SLOT + 3)]).unwrap();
        log.sync().unwrap();
        assert_eq!(ends(path), [SLOT, SLOT + 1, SLOT + 3]);
    });
    assert!(names(path).is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A crash can leave any beginning of what was written.
    #[test]
    fn after_a_crash_at_any_byte_the_whole_lines_are_there_and_more_can_follow(cut in any::<prop::sample::Index>()) {
        let directory = tempfile::tempdir().unwrap();
        open(directory.path()).append(&[0, 1, 2].map(|second| ending_at(SLOT + second))).unwrap();
        let file = only_file(directory.path());
        let whole = fs::read(&file).unwrap();
        let cut = cut.index(whole.len() + 1);
        fs::write(&file, &whole[..cut]).unwrap();
        let lines = String::from_utf8_lossy(&whole[..cut]).matches('\n').count();

        let (mut log, repaired) = LogDirectory::open(directory.path(), options()).unwrap();
        let kept = whole[..cut].iter().rposition(|byte| *byte == b'\n').map_or(0, |index| index + 1);
        prop_assert_eq!(repaired.bytes, (cut - kept) as u64);
        log.append(&[ending_at(SLOT + 9)]).unwrap();
        let mut expected: Vec<_> = (0..3).map(|second| SLOT + second).take(lines.saturating_sub(1)).collect();
        expected.push(SLOT + 9);
        prop_assert_eq!(ends(directory.path()), expected);
    }
}

#[test]
fn a_batch_can_be_taken_back_by_the_next_writer() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let mut log = open(path);
    log.append(&[SLOT, SLOT + 1].map(ending_at)).unwrap();
    let extent = log.extent().unwrap();
    log.append(&[SLOT + 2, SLOT + 300].map(ending_at)).unwrap();
    assert_eq!(ends(path), [SLOT, SLOT + 1, SLOT + 2, SLOT + 300]);
    drop(log);

    let mut log = open(path);
    log.cut_back(&extent).unwrap();
    assert_eq!(ends(path), [SLOT, SLOT + 1]);
    assert_eq!(names(path).len(), 1);
    log.append(&[ending_at(SLOT + 3)]).unwrap();
    assert_eq!(ends(path), [SLOT, SLOT + 1, SLOT + 3]);
}
