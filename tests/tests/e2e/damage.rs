//! What is torn, cut off or overwritten: it is said where, passed over exactly, and nothing else goes with it.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use enid_flowlog::{Field, Filter};
use enid_spool::{Damage, Reader};
use enid_testbed::{DEADLINE, DaemonKind, Host, HostOptions, wait_until};

use crate::command_line::enictl;
use crate::delivery::{Pair, create, delivered, delivery, files};
use crate::ledger::flush;
use crate::networks::host_as;

/// The header of a spool's block.
const HEADER: u64 = 64;

/// A host whose spool has so many batches of 1, 2, 3… datagrams, none of them delivered, as a file is where the destination
/// was.
fn held_back(batches: usize) -> (Host, Pair, PathBuf) {
    let host = host_as(&HostOptions { daemon: DaemonKind::Process, ..HostOptions::default() });
    let out = host.folder().join("out");
    create(&host, "all", |request| request.destination = out.display().to_string());
    let pair = Pair::new(&host);
    fs::remove_dir_all(&out).unwrap();
    fs::write(&out, "").unwrap();
    for batch in 1..=batches {
        pair.send(batch);
        flush(&host);
    }
    (host, pair, out)
}

/// The segment that a spool begins with; a daemon that starts begins another.
fn segment(host: &Host) -> PathBuf {
    let spool = host.state_directory().join("spool");
    let mut segments = files(&spool);
    segments.retain(|path| path.extension().is_some_and(|extension| extension == "spool"));
    segments.sort();
    segments.remove(0)
}

/// Where the blocks of a segment begin, and where the last one ends.
fn blocks(segment: &Path) -> Vec<u64> {
    let bytes = fs::read(segment).unwrap();
    let places = bytes.windows(4).enumerate().filter(|(_, four)| four == b"ENSB").map(|(place, _)| place);
    places.chain([bytes.len()]).map(|place| place as u64).collect()
}

/// Flips the bits of some bytes.
fn flip(file: &Path, at: u64, length: usize) {
    let file = OpenOptions::new().read(true).write(true).open(file).unwrap();
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, at).unwrap();
    for byte in &mut bytes {
        *byte = !*byte;
    }
    file.write_all_at(&bytes, at).unwrap();
}

/// What a reader of the spool finds damaged.
fn damage(host: &Host) -> Vec<Damage> {
    let mut reader = Reader::open(&host.state_directory().join("spool"), 0).unwrap();
    let mut found = Vec::new();
    while let Some(mut batch) = reader.next_batch().unwrap() {
        while batch.next_records().unwrap().is_some() {}
        found.extend_from_slice(batch.damage());
    }
    found
}

/// Makes room for what is delivered, and waits until it is.
fn deliver(host: &Host, out: &Path) {
    fs::remove_file(out).unwrap();
    flush(host);
    assert!(wait_until(DEADLINE, || delivery(host, "all").problem.is_none()));
    flush(host);
}

/// Datagrams that records of files or of the spool have, at both ENIs.
fn datagrams(out: &Path) -> u64 {
    let rows = delivered(out, Filter::default(), [Field::DstPort, Field::Packets]);
    rows.iter().filter(|[port, _]| *port == 5001).map(|[_, packets]| packets).sum()
}

/// What the audit leaves over, by direction, of the task that sends.
fn left_over(host: &Host) -> i64 {
    let audit = host.audit().into_iter().find(|eni| eni.task == "a").unwrap();
    let egress = audit.egress.unwrap();
    let parts = [egress.records, egress.not_kept, egress.not_logged, egress.pending, egress.buckets];
    let found: u64 = parts.into_iter().map(|part| part.unwrap().packets).sum();
    egress.wire_ledger.unwrap().packets.cast_signed() - found.cast_signed()
}

/// The third of five batches is damaged: 3 datagrams, each a record of both ENIs.
#[track_caller]
fn assert_only_the_third_is_gone(host: &Host, out: &Path, at: u64, bytes: u64) {
    let segment = segment(host).display().to_string();
    // The log says what was not delivered, and where it was.
    let log = fs::read_to_string(host.log()).unwrap();
    let said = log.lines().find(|line| line.contains("can't be read, and is not delivered"));
    let said = said.unwrap_or_else(|| panic!("{log}"));
    for part in [
        "flow_log=all".to_owned(),
        format!("file={segment}"),
        format!("offset={at}"),
        format!("bytes={bytes}"),
        "records=6".to_owned(),
    ] {
        assert!(said.contains(&part), "{part}: {said}");
    }
    assert_eq!(datagrams(out), 2 * (1 + 2 + 4 + 5));
    // So does whoever reads the spool, which has the others all the same.
    let (code, stdout, stderr) = enictl(host, &["flows", "--format", "${dstport} ${packets}"]);
    assert_eq!(
        (code, &*stderr),
        (1, &*format!("enictl: {segment}: {bytes} bytes at {at} can't be read: 6 records\n"))
    );
    assert_eq!(stdout.lines().filter(|line| *line == "5001 1").count(), 2 * (1 + 2 + 4 + 5), "{stdout}");
    // The audit does not close by what is gone, to the packet, and says so.
    assert_eq!(left_over(host), 3);
    assert_eq!(enictl(host, &["audit"]).0, 1);
}

#[test]
fn of_a_spool_that_was_damaged_under_a_stopped_daemon_the_rest_is_delivered() {
    let (mut host, pair, out) = held_back(5);
    let blocks = blocks(&segment(&host));
    assert_eq!(blocks.len(), 6, "a block for each batch: {blocks:?}");
    host.stop_daemon();
    // It has written a last batch, without any traffic.
    let (at, bytes) = (blocks[2], blocks[3] - blocks[2]);
    flip(&segment(&host), at + HEADER + bytes / 2, 3);
    host.start_daemon();
    assert_eq!(
        damage(&host).iter().map(|damage| (damage.offset, damage.bytes)).collect::<Vec<_>>(),
        [(at, bytes)]
    );
    deliver(&host, &out);
    assert_only_the_third_is_gone(&host, &out, at, bytes);
    // And it goes on.
    pair.send(7);
    flush(&host);
    assert_eq!(datagrams(&out), 2 * (1 + 2 + 4 + 5 + 7));
    assert_eq!(left_over(&host), 3);
}

#[test]
fn of_a_spool_that_is_damaged_under_a_running_daemon_the_rest_is_delivered() {
    let (host, pair, out) = held_back(5);
    let blocks = blocks(&segment(&host));
    let (at, bytes) = (blocks[2], blocks[3] - blocks[2]);
    flip(&segment(&host), at + HEADER, 1);
    deliver(&host, &out);
    assert_only_the_third_is_gone(&host, &out, at, bytes);
    pair.send(7);
    flush(&host);
    assert_eq!(datagrams(&out), 2 * (1 + 2 + 4 + 5 + 7));
}

/// Without its header it can't be told how many records a block had.
#[test]
fn a_block_without_its_header_is_passed_over_to_the_next() {
    let (mut host, _pair, out) = held_back(5);
    let segment = segment(&host);
    let blocks = blocks(&segment);
    let (at, bytes) = (blocks[2], blocks[3] - blocks[2]);
    flip(&segment, at + 8, 1);
    let said = format!("{}: {bytes} bytes at {at} can't be read", segment.display());
    let (code, _, stderr) = enictl(&host, &["flows"]);
    assert_eq!((code, &*stderr), (1, &*format!("enictl: {said}\n")));
    host.kill_daemon();
    host.start_daemon();
    deliver(&host, &out);
    assert_eq!(datagrams(&out), 2 * (1 + 2 + 4 + 5));
    let log = fs::read_to_string(host.log()).unwrap();
    let said = log.lines().find(|line| line.contains("can't be read, and is not delivered")).unwrap();
    assert!(said.contains(&format!("offset={at}")) && said.contains(&format!("bytes={bytes}")), "{said}");
    assert_eq!(left_over(&host), 3);
}

/// At the end of the newest segment it looks like a batch that is being written, until the next one follows.
#[test]
fn the_newest_block_without_its_header_is_passed_over_once_another_follows() {
    let (host, pair, out) = held_back(5);
    let blocks = blocks(&segment(&host));
    let (at, bytes) = (blocks[4], blocks[5] - blocks[4]);
    flip(&segment(&host), at, 1);
    pair.send(7);
    deliver(&host, &out);
    assert_eq!(datagrams(&out), 2 * (1 + 2 + 3 + 4 + 7));
    let found: Vec<_> = damage(&host).iter().map(|damage| (damage.offset, damage.bytes)).collect();
    assert_eq!(found, [(at, bytes)]);
    let log = fs::read_to_string(host.log()).unwrap();
    let said = log.lines().find(|line| line.contains("can't be read, and is not delivered")).unwrap();
    assert!(said.contains(&format!("offset={at}")) && said.contains(&format!("bytes={bytes}")), "{said}");
    assert_eq!(left_over(&host), 5);
}

/// The end of the newest segment is gone: what was whole is there, and later batches follow.
#[test]
fn a_spool_that_is_cut_off_goes_on_where_it_ends() {
    let (mut host, pair, out) = held_back(5);
    let segment = segment(&host);
    let blocks = blocks(&segment);
    host.kill_daemon();
    OpenOptions::new().write(true).open(&segment).unwrap().set_len(blocks[5] - 10).unwrap();
    host.start_daemon();
    pair.send(7);
    deliver(&host, &out);
    assert_eq!(datagrams(&out), 2 * (1 + 2 + 3 + 4 + 7));
    assert_eq!(left_over(&host), 5);
    assert_eq!(damage(&host), []);
}

/// Files of a directory: one that is cut off, one whose last line is torn, one that is no file of records.
#[test]
fn of_files_that_are_cut_off_the_rest_is_read() {
    let host = host_as(&HostOptions::default());
    let out = host.folder().join("out");
    create(&host, "all", |request| request.destination = out.display().to_string());
    let pair = Pair::new(&host);
    for batch in 1..=3 {
        pair.send(batch);
        flush(&host);
    }
    let mut delivered = files(&out);
    delivered.sort();
    assert_eq!(delivered.len(), 3, "{delivered:?}");
    let place = out.display().to_string();
    let read = || enictl(&host, &["flows", "--from", &place, "--format", "${dstport} ${packets}"]);
    let datagrams = |text: &str| text.lines().filter(|line| *line == "5001 1").count();
    let (code, whole, stderr) = read();
    assert_eq!((code, &*stderr), (0, ""));
    assert_eq!(datagrams(&whole), 12);

    // A gzip that ends too early: what is read before that counts.
    let gzip = fs::read(&delivered[0]).unwrap();
    fs::write(&delivered[0], &gzip[..gzip.len() - 4]).unwrap();
    let (code, stdout, stderr) = read();
    assert_eq!(code, 1);
    assert_eq!(stderr, format!("enictl: can't read {}: unexpected end of file\n", delivered[0].display()));
    assert!((10..=12).contains(&datagrams(&stdout)), "{stdout}");
    fs::write(&delivered[0], &gzip).unwrap();

    // The last line of a text, as other writers have it: it is named, and all else is there.
    let unzipped = Command::new("zcat").arg(&delivered[0]).output().unwrap().stdout;
    let (plain, text) = (delivered[0].with_extension(""), String::from_utf8(unzipped).unwrap());
    fs::remove_file(&delivered[0]).unwrap();
    fs::write(&plain, &text[..text.len() - 5]).unwrap();
    let (code, stdout, stderr) = read();
    let number = text.lines().count();
    let said =
        format!("enictl: {}: line {number}: the line is torn: the file ends within it\n", plain.display());
    assert_eq!((code, &*stderr), (1, &*said));
    assert_eq!(stdout.lines().count() + 1, whole.lines().count());
    fs::write(&plain, &text).unwrap();
    assert_eq!(read().0, 0);
}
