//! Full disks.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use enid_flowlog::{Direction, Field, Filter, ParsedRecord};
use enid_testbed::traffic::{ping, send_datagrams, udp};
use enid_testbed::{DEADLINE, DaemonKind, Host, HostOptions, new_task, wait_until};
use tonic::Code;

use crate::audit_range::assert_each_range_closes;
use crate::command_line::{enictl, succeed};
use crate::delivery::{Pair, create, delivered, delivery};
use crate::kernel::assert_only_listed_tasks;
use crate::ledger::{assert_closed, assert_nothing_pending, flush, records, to_port, total};
use crate::networks::{host_as, inside, ipv4, subnet};

const MEBIBYTE: u64 = 1 << 20;

/// Fills a file system to its last byte; the file that does so.
fn fill(folder: &Path) -> PathBuf {
    let path = folder.join("filler");
    let mut file = File::create(&path).unwrap();
    for size in [1 << 16, 1 << 12, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
    path
}

#[test]
fn records_that_do_not_fit_come_with_the_next_interval() {
    let host = host_as(&HostOptions { state_bytes: Some(4 * MEBIBYTE), ..Default::default() });
    let (a, b) = (host.create("a", "red/a"), host.create("b", "red/b"));
    let (near, far) = (udp(&inside(&a), ipv4(&a), 5000), udp(&inside(&b), ipv4(&b), 5001));
    send_datagrams(&near, &far, 3, 72);
    flush(&host);
    let filler = fill(host.state_directory());
    for _ in 0..4 {
        send_datagrams(&near, &far, 5, 72);
        // Many flows, so that what room is left in a last page is not enough.
        for _ in 0..50 {
            send_datagrams(&udp(&inside(&a), ipv4(&a), 0), &far, 1, 72);
        }
        let error = host.try_flush().unwrap_err();
        assert_eq!(error.code(), Code::ResourceExhausted, "{error}");
        assert!(error.message().contains("No space left"), "{error}");
        assert_closed(&host);
    }
    // Tasks come and go meanwhile, or are refused in a sentence.
    match host.create_as(&new_task("meanwhile", "red/a")) {
        Ok(task) => assert!(ping(&inside(&task), ipv4(&b), 1, 56)),
        Err(error) => assert_eq!(error.code(), Code::ResourceExhausted, "{error}"),
    }
    fs::remove_file(filler).unwrap();
    flush(&host);
    assert_closed(&host);
    assert_nothing_pending(&host);
    let all = 3 + 4 * (5 + 50);
    assert_eq!(total(&records(&host), "a", Direction::Egress, to_port(17, 5001)), (all, all * 100));
    assert_eq!(total(&records(&host), "b", Direction::Ingress, to_port(17, 5001)), (all, all * 100));
}

/// From traffic to a destination elsewhere, while the disk fills up under a daemon and has room again under another.
#[test]
fn a_full_disk_holds_records_back_until_it_has_room() {
    let mut host = host_as(&HostOptions {
        daemon: DaemonKind::Process,
        interval_seconds: 1,
        flow_capacity: 1 << 16,
        flows_per_eni: Some(1 << 16),
        state_bytes: Some(4 * MEBIBYTE),
        ..Default::default()
    });
    let out = host.folder().join("out");
    create(&host, "all", |request| request.destination = out.display().to_string());
    let pair = Pair::new(&host);
    pair.send(10);
    flush(&host);
    let (is_over, sent) = (AtomicBool::new(false), AtomicU64::new(10));
    let filler = thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                pair.send(20);
                sent.fetch_add(20, Ordering::Relaxed);
            }
        });
        let end = End(&is_over);
        let filler = fill(host.state_directory());
        // It says so by itself, at the end of an interval, and whoever asks is told.
        let is_logged = || {
            let log = fs::read_to_string(host.log()).unwrap();
            log.contains("an interval's records could not be written; the next interval has them")
                && log.contains("No space left on device")
        };
        assert!(wait_until(DEADLINE, is_logged), "{}", fs::read_to_string(host.log()).unwrap());
        let (code, _, said) = enictl(&host, &["flush"]);
        assert_eq!(code, 1);
        let spool = host.state_directory().join("spool");
        assert!(said.contains("No space left on device"), "{said}");
        assert!(said.contains(&spool.display().to_string()), "{said}");
        drop(end);
        filler
    });
    // What waits is not lost, and is not said to be.
    assert_closed(&host);
    assert!(host.audit().iter().all(|eni| {
        [&eni.egress, &eni.ingress].iter().any(|side| side.unwrap().pending.unwrap().packets > 0)
    }));
    host.kill_daemon();
    host.start_daemon();
    assert_closed(&host);
    fs::remove_file(filler).unwrap();
    flush(&host);
    assert!(wait_until(DEADLINE, || delivery(&host, "all").problem.is_none()));
    flush(&host);
    assert_closed(&host);
    assert_nothing_pending(&host);
    assert!(succeed(&host, &["audit"]).contains("2 ENIs audited, nothing left over"));
    assert_each_range_closes(&host);
    let sent = sent.into_inner();
    for (task, direction) in [("a", Direction::Egress), ("b", Direction::Ingress)] {
        assert_eq!(total(&records(&host), task, direction, to_port(17, 5001)), (sent, sent * 100), "{task}");
    }
    let rows = delivered(&out, Filter::default(), [Field::DstPort, Field::Packets, Field::Bytes]);
    let sum = |place: usize| rows.iter().filter(|row| row[0] == 5001).map(|row| row[place]).sum::<u64>();
    assert_eq!((sum(1), sum(2)), (2 * sent, 2 * sent * 100), "at both ENIs");
}

/// Ends what goes on, whatever happens.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// After a reboot nothing is remembered of what was exported, and the spool has records of before.
#[test]
fn a_disk_that_is_full_after_a_reboot_holds_records_back_too() {
    let mut host = host_as(&HostOptions { state_bytes: Some(4 * MEBIBYTE), ..Default::default() });
    let pair = Pair::new(&host);
    for _ in 0..3 {
        pair.send(1);
        flush(&host);
    }
    host.stop_daemon();
    assert_eq!(host.purge().len(), 0);
    host.start_daemon();
    let pair = Pair::new(&host);
    let filler = fill(host.state_directory());
    for _ in 0..2 {
        // So many that they do not fit in what room is left in a last page.
        pair.send(50);
        let error = host.try_flush().unwrap_err();
        assert_eq!(error.code(), Code::ResourceExhausted, "{error}");
        assert!(error.message().contains("No space left"), "{error}");
    }
    fs::remove_file(filler).unwrap();
    flush(&host);
    assert_closed(&host);
    assert_nothing_pending(&host);
    let id = pair.a.eni.as_ref().unwrap().id.parse().ok();
    let of_a = |record: &ParsedRecord| to_port(17, 5001)(record) && record.interface_id == id;
    assert_eq!(total(&records(&host), "a", Direction::Egress, of_a), (100, 10_000));
    // Nothing of before is gone.
    assert_eq!(total(&records(&host), "a", Direction::Egress, to_port(17, 5001)), (103, 10_300));
}

#[test]
fn a_full_disk_refuses_networks_and_changes_nothing() {
    let host = Host::start(&HostOptions { state_bytes: Some(4 * MEBIBYTE), ..Default::default() });
    let filler = fill(host.state_directory());
    // So much that it can't fit in what the store has room for.
    let groups: Vec<String> = (0..40).map(|number| format!("{{ name = \"group-{number}\" }}")).collect();
    let groups = groups.join(", ");
    let vpc = |number| {
        format!(
            "[[vpc]]\nname = \"vpc-{number}\"\nipv4_cidr = \"10.0.0.0/16\"\nsecurity_group = [{groups}]\n"
        )
    };
    let many = (0..200).map(vpc).collect::<Vec<_>>().concat();
    let error = host.try_apply(&many, false).unwrap_err();
    assert_eq!(error.code(), Code::ResourceExhausted, "{error}");
    assert_eq!(crate::networks::vpcs(&host).len(), 1);
    fs::remove_file(filler).unwrap();
    assert!(!host.apply(&many).is_empty());
}

#[test]
fn a_full_run_directory_refuses_creates_and_leaves_nothing() {
    let host = host_as(&HostOptions { run_bytes: Some(3 * MEBIBYTE), ..Default::default() });
    host.create("first", "red/a");
    let filler = fill(host.run_directory());
    let mut created = 1;
    // The store has some room of its own.
    let error = loop {
        match host.create_as(&new_task(&format!("task-{created}"), "red/b")) {
            Ok(_) => created += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.code(), Code::ResourceExhausted, "{error}");
    assert!(error.message().contains("No space left"), "{error}");
    assert_eq!(host.tasks().len(), created);
    assert_eq!(subnet(&host, "red/b").available_ipv4_addresses.unwrap() as usize, 251 - (created - 1));
    assert_only_listed_tasks(&host);
    // What is there works, and goes.
    let tasks = host.tasks();
    assert!(ping(&inside(&tasks[0]), ipv4(&tasks[0]), 1, 56));
    fs::remove_file(filler).unwrap();
    for task in &tasks {
        assert!(host.delete(&task.name), "{}", task.name);
    }
    host.create("after", "red/b");
    assert_only_listed_tasks(&host);
}
