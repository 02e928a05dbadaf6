//! Full disks.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use enid_flowlog::Direction;
use enid_testbed::traffic::{ping, send_datagrams, udp};
use enid_testbed::{Host, HostOptions, new_task};
use tonic::Code;

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
