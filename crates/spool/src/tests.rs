use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;

use proptest::prelude::*;

use crate::testing::{any_record, balances, files, open, read, record, write};
use crate::{Reader, Repaired, Spool, SpoolError, SpoolOptions};

#[test]
fn what_is_written_is_read_by_whoever_comes_when() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = open(folder.path());
    assert_eq!(spool.last(), 0);
    let mut early = Reader::open(folder.path(), 0).unwrap();
    assert!(early.next_batch().unwrap().is_none());
    // More than a block's.
    write(&mut spool, 1, 20_000);
    let mut batch = early.next_batch().unwrap().unwrap();
    assert_eq!((batch.number, batch.began, batch.ended, batch.len()), (1, 60, 120, 20_000));
    let mut starts = Vec::new();
    while let Some(records) = batch.next_records().unwrap() {
        assert!(records.len() <= 8192);
        starts.extend(records.iter().map(|record| record.start));
    }
    assert!(starts.is_sorted() && starts.len() == 20_000);
    assert_eq!(batch.balances(), [balances(1)]);
    assert!(early.next_batch().unwrap().is_none());
    write(&mut spool, 2, 0);
    write(&mut spool, 5, 1);
    assert_eq!(early.next_batch().unwrap().unwrap().number, 2);
    assert_eq!(read(folder.path(), 0), [(1, 20_000, 0), (2, 0, 0), (5, 1, 0)]);
    assert_eq!(read(folder.path(), 1), [(2, 0, 0), (5, 1, 0)]);
    assert_eq!(read(folder.path(), 5), []);
    let error = spool.begin(5, 0, 0).unwrap_err();
    assert!(matches!(error, SpoolError::Order { batch: 5, last: 5, .. }), "{error}");
}

#[test]
fn there_is_one_writer() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(folder.path());
    let error = Spool::open(folder.path(), SpoolOptions::default(), None).unwrap_err();
    assert!(matches!(error, SpoolError::Locked(_)), "{error}");
    drop(spool);
    open(folder.path());
}

#[test]
fn a_batch_that_is_not_committed_was_never_there() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = open(folder.path());
    for batch in 1..=3 {
        let mut writer = spool.begin(batch, 0, 0).unwrap();
        for _ in 0..10_000 {
            writer.push(&record(0)).unwrap();
        }
        drop(writer);
        assert_eq!(read(folder.path(), 0).len() as u64, batch - 1);
        assert_eq!(files(folder.path()).is_empty(), batch == 1);
        write(&mut spool, batch, 3);
    }
    assert_eq!(read(folder.path(), 0), [(1, 3, 0), (2, 3, 0), (3, 3, 0)]);
}

#[test]
fn segments_are_begun_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let options = SpoolOptions { max_bytes: 12_000, segment_bytes: 4_000 };
    let mut spool = Spool::open(folder.path(), options, None).unwrap().0;
    for batch in 1..=20 {
        write(&mut spool, batch, 10);
    }
    assert!(files(folder.path()).len() >= 5);
    let mut reader = Reader::open(folder.path(), 0).unwrap();
    assert_eq!(reader.next_batch().unwrap().unwrap().number, 1);
    let mut removed = 0;
    while let Some((first, last)) = spool.surplus() {
        assert_eq!(first, removed + 1);
        spool.remove(first).unwrap();
        removed = last;
    }
    assert!(spool.bytes() <= 12_000 && removed > 0);
    assert!(read(folder.path(), 0).iter().map(|(batch, ..)| *batch).eq(removed + 1..=20));
    // Whoever was reading a segment reads it to its end, and goes on with what is there.
    let rest: Vec<u64> =
        std::iter::from_fn(|| reader.next_batch().unwrap()).map(|batch| batch.number).collect();
    assert!(rest.is_sorted() && rest.ends_with(&[19, 20]) && rest.starts_with(&[2]), "{rest:?}");
    drop(spool);
    let mut spool = Spool::open(folder.path(), options, Some(20)).unwrap().0;
    assert_eq!(spool.last(), 20);
    write(&mut spool, 21, 1);
    assert_eq!(read(folder.path(), 20), [(21, 1, 0)]);
}

#[test]
fn what_is_not_remembered_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = open(folder.path());
    for batch in 1..=4 {
        write(&mut spool, batch, 3);
    }
    drop(spool);
    for (remembered, kept) in [(Some(9), 4), (Some(4), 4), (Some(2), 2), (None, 2), (Some(0), 0)] {
        let (spool, repaired) = Spool::open(folder.path(), SpoolOptions::default(), remembered).unwrap();
        assert_eq!(spool.last(), kept);
        assert_eq!(repaired.bytes > 0, matches!(remembered, Some(0 | 2)));
        assert_eq!(read(folder.path(), 0).len() as u64, kept);
    }
}

#[test]
fn a_torn_end_is_cut_off_wherever_it_is_torn() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = open(folder.path());
    write(&mut spool, 1, 2);
    let whole = spool.bytes();
    write(&mut spool, 2, 9_000);
    let all = spool.bytes();
    drop(spool);
    let file = &files(folder.path())[0];
    let bytes = fs::read(file).unwrap();
    for length in [all - 1, all - 100_000, whole + 64, whole + 63, whole + 1] {
        fs::write(file, &bytes[..usize::try_from(length).unwrap()]).unwrap();
        assert_eq!(read(folder.path(), 0), [(1, 2, 0)], "{length}");
        let (mut spool, repaired) = Spool::open(folder.path(), SpoolOptions::default(), Some(1)).unwrap();
        assert_eq!(repaired, Repaired { bytes: length - whole });
        write(&mut spool, 2, 1);
        assert_eq!(read(folder.path(), 0), [(1, 2, 0), (2, 1, 0)]);
        drop(spool);
        for extra in files(folder.path()).iter().skip(1) {
            fs::remove_file(extra).unwrap();
        }
    }
}

#[test]
fn of_a_batch_that_was_whole_what_is_left_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = open(folder.path());
    write(&mut spool, 1, 20_000);
    drop(spool);
    let file = &files(folder.path())[0];
    let length = fs::metadata(file).unwrap().len();
    OpenOptions::new().write(true).open(file).unwrap().set_len(length - 1).unwrap();
    let (mut spool, _) = Spool::open(folder.path(), SpoolOptions::default(), Some(1)).unwrap();
    write(&mut spool, 2, 1);
    let found = read(folder.path(), 0);
    assert_eq!(
        found.iter().map(|(batch, records, _)| (*batch, *records)).collect::<Vec<_>>(),
        [(1, 16_384), (2, 1)]
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn records_read_back(batches in prop::collection::vec(prop::collection::vec(any_record(), 0..40), 1..5)) {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = open(folder.path());
        for (number, records) in (1..).zip(&batches) {
            let mut writer = spool.begin(number, 7, 8).unwrap();
            for record in records {
                writer.push(record).unwrap();
            }
            writer.commit(&[]).unwrap();
        }
        let mut reader = Reader::open(folder.path(), 0).unwrap();
        for records in &batches {
            let mut batch = reader.next_batch().unwrap().unwrap();
            let mut found = Vec::new();
            while let Some(some) = batch.next_records().unwrap() {
                found.extend(some);
            }
            prop_assert_eq!(&found, records);
            prop_assert_eq!(batch.damage(), []);
        }
        prop_assert!(reader.next_batch().unwrap().is_none());
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever becomes of some bytes, the blocks that have none of them are read, and nothing that was not written.
    #[test]
    fn damage_takes_nothing_else_with_it(
        counts in prop::collection::vec(0_u64..9_000, 2..4),
        place in any::<u64>(),
        length in 1_usize..200,
        value in any::<u8>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = open(folder.path());
        for (batch, count) in (1..).zip(&counts) {
            write(&mut spool, batch, *count);
        }
        let last = counts.len() as u64;
        // So that the damage is not at the end of the newest segment, where it would be a batch that is being written.
        drop(spool);
        let (mut spool, _) = Spool::open(folder.path(), SpoolOptions::default(), Some(last)).unwrap();
        write(&mut spool, last + 1, 1);
        let before = read(folder.path(), 0);
        let file = OpenOptions::new().read(true).write(true).open(&files(folder.path())[0]).unwrap();
        let size = file.metadata().unwrap().len();
        let at = place % size;
        let length = length.min(usize::try_from(size - at).unwrap());
        let mut old = vec![0; length];
        file.read_exact_at(&mut old, at).unwrap();
        file.write_all_at(&vec![value; length], at).unwrap();
        let after = read(folder.path(), 0);
        let records = |found: &[(u64, usize, u64)]| found.iter().map(|(_, records, _)| *records).sum::<usize>();
        let was_there = |(batch, count, _): &(u64, usize, u64)| {
            before.iter().any(|(same, all, _)| same == batch && count <= all)
        };
        prop_assert!(after.iter().all(was_there));
        // A block is at least a header.
        let blocks = 2 + length / 64;
        prop_assert!(records(&before) - records(&after) <= blocks * 8192);
        prop_assert!(after.contains(&(last + 1, 1, 0)));
        if old.iter().any(|byte| *byte != value) {
            let damaged: u64 = after.iter().map(|(_, _, damaged)| *damaged).sum();
            prop_assert!(damaged > 0 || after.len() < before.len());
        } else {
            prop_assert_eq!(after, before);
        }
    }
}
