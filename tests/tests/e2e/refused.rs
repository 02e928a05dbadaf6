//! Requests that can't be fulfilled: one clear sentence each, and nothing is left of them.

use std::fs;

use enid_api::v1::{CreateTaskRequest, GetTaskRequest, IdleTimeouts, PrepareRunRequest};
use enid_testbed::{Host, new_task};
use tonic::{Code, Status};

use crate::kernel::assert_only_listed_tasks;
use crate::networks::{host, subnet, vpc};

#[track_caller]
fn assert_refused(error: &Status, code: Code, sentence: &str) {
    assert!(error.message().contains(sentence), "{error}: {sentence}");
    assert_eq!(error.code(), code, "{error}");
    assert!(!error.message().contains('\n'), "{error}");
}

/// Asserts that no address of the subnets is taken, but for those of tasks, and nothing else is there either.
#[track_caller]
fn assert_nothing_left(host: &Host, subnet_name: &str, available: u32) {
    assert_eq!(subnet(host, subnet_name).available_ipv4_addresses, Some(available));
    assert_only_listed_tasks(host);
}

#[test]
fn creates_that_cannot_be() {
    let host = host();
    let taken = host.create("taken", "red/a");
    let base = || new_task("web", "red/a");
    let with_groups =
        |groups: &[&str]| groups.iter().map(|group| (*group).to_owned()).collect::<Vec<String>>();
    let ipv4 = |address: &str| CreateTaskRequest { ipv4: Some(address.to_owned()), ..base() };
    let ipv6 = |address: &str| CreateTaskRequest { ipv6: Some(address.to_owned()), ..base() };
    let taken_ipv6 = crate::networks::ipv6(&taken).to_string();
    fs::write(host.netns_directory().join("file"), "").unwrap();
    // It would be waited for until somebody writes to it.
    let fifo = host.folder().join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let long = "a".repeat(129);
    let blue_default = vpc(&host, "blue").security_groups[0].id.clone();
    let with_timeouts =
        |timeouts| CreateTaskRequest { idle_timeouts: Some(timeouts), ..new_task("web", "red/a") };
    let cases = [
        (new_task("web", "red/nope"), Code::NotFound, "there is no subnet"),
        (new_task("web", "nope/a"), Code::NotFound, "there is no VPC `nope`"),
        (new_task("web", "subnet-0123456789abcdef0"), Code::NotFound, "there is no subnet"),
        (new_task("web", ""), Code::NotFound, "there is no subnet"),
        (new_task("web", "a"), Code::NotFound, "is in several VPCs; say which: red/a, blue/a"),
        (new_task("", "red/a"), Code::InvalidArgument, "is not a task name"),
        (new_task("a/b", "red/a"), Code::InvalidArgument, "`a/b` is not a task name"),
        (new_task("..", "red/a"), Code::InvalidArgument, "is not a task name"),
        (new_task(&long, "red/a"), Code::InvalidArgument, "expected 1 to 128 characters"),
        (
            CreateTaskRequest { netns: Some(fifo.display().to_string()), ..base() },
            Code::InvalidArgument,
            "is not a network namespace",
        ),
        (new_task("file", "red/a"), Code::AlreadyExists, "exists already and is not enid's"),
        (ipv4("10.0.0.4"), Code::AlreadyExists, "10.0.0.4 of subnet a is taken"),
        (ipv6(&taken_ipv6), Code::AlreadyExists, "is taken by another ENI"),
        (ipv4("10.0.0.3"), Code::InvalidArgument, "it is reserved"),
        (ipv4("10.0.0.255"), Code::InvalidArgument, "it is reserved"),
        (ipv6("fd00:a::1"), Code::InvalidArgument, "it is reserved"),
        (ipv4("10.0.1.5"), Code::InvalidArgument, "outside the subnet's block 10.0.0.0/24"),
        (ipv6("fd00:b::5"), Code::InvalidArgument, "outside the subnet's block"),
        (ipv4("10.0.0"), Code::InvalidArgument, "`10.0.0` is not an IPv4 address"),
        (ipv6("10.0.0.9"), Code::InvalidArgument, "`10.0.0.9` is not an IPv6 address"),
        (
            CreateTaskRequest { ipv6: Some("fd00:a::9".to_owned()), ..new_task("web", "red/four") },
            Code::InvalidArgument,
            "the subnet has no IPv6 block",
        ),
        (
            CreateTaskRequest { mtu: Some(1279), ..base() },
            Code::InvalidArgument,
            "MTU 1279 is out of range: 1280 to 9001",
        ),
        (CreateTaskRequest { mtu: Some(9002), ..base() }, Code::InvalidArgument, "MTU 9002 is out of range"),
        (
            CreateTaskRequest { security_groups: with_groups(&["nope"]), ..base() },
            Code::NotFound,
            "there is no security group `nope`",
        ),
        (
            CreateTaskRequest {
                security_groups: with_groups(&["g1", "g2", "g3", "g4", "g5", "g6"]),
                ..base()
            },
            Code::InvalidArgument,
            "at most 5 security groups, and 6 were given",
        ),
        (
            CreateTaskRequest { security_groups: vec![blue_default.clone()], ..base() },
            Code::NotFound,
            &format!("there is no security group `{blue_default}`; there is red/default, red/g1"),
        ),
        (
            with_timeouts(IdleTimeouts { tcp_established: Some(59), ..IdleTimeouts::default() }),
            Code::InvalidArgument,
            "TCP established timeout (seconds) 59 is out of range: 60 to 432000",
        ),
        (
            with_timeouts(IdleTimeouts { udp: Some(61), ..IdleTimeouts::default() }),
            Code::InvalidArgument,
            "UDP timeout (seconds) 61 is out of range: 30 to 60",
        ),
        (
            with_timeouts(IdleTimeouts { udp_stream: Some(0), ..IdleTimeouts::default() }),
            Code::InvalidArgument,
            "UDP stream timeout (seconds) 0 is out of range: 60 to 180",
        ),
        (
            CreateTaskRequest { platform_version: Some("9.9".to_owned()), ..base() },
            Code::InvalidArgument,
            "9.9",
        ),
    ];
    for (request, code, sentence) in cases {
        assert_refused(&host.create_as(&request).unwrap_err(), code, sentence);
    }
    assert_eq!(host.tasks(), [taken]);
    fs::remove_file(host.netns_directory().join("file")).unwrap();
    assert_nothing_left(&host, "red/a", 250);
}

#[test]
fn a_full_subnet() {
    let host = host();
    for number in 0..11 {
        host.create(&format!("task-{number}"), "red/tiny");
    }
    let error = host.create_as(&new_task("one-more", "red/tiny")).unwrap_err();
    assert_refused(
        &error,
        Code::ResourceExhausted,
        "subnet tiny is full: all 11 of its IPv4 addresses are taken",
    );
    assert_nothing_left(&host, "red/tiny", 0);
    // An address that is given back is given out again at once.
    assert!(host.delete("task-3"));
    host.create("one-more", "red/tiny");
    assert_nothing_left(&host, "red/tiny", 0);
}

#[test]
fn a_full_host() {
    let options = enid_testbed::HostOptions { eni_capacity: 4, ..Default::default() };
    let host = crate::networks::host_as(&options);
    for number in 0..4 {
        host.create(&format!("task-{number}"), "red/a");
    }
    let error = host.create_as(&new_task("one-more", "red/a")).unwrap_err();
    assert_refused(&error, Code::ResourceExhausted, "this host holds 4 ENIs");
    assert_nothing_left(&host, "red/a", 247);
    assert!(host.delete("task-0"));
    // Its place is free when its last trace is gone.
    let again = || host.create_as(&new_task("one-more", "red/a"));
    assert!(enid_testbed::wait_until(enid_testbed::DEADLINE, || again().is_ok()));
}

#[test]
fn what_names_no_task_or_class() {
    let host = host();
    host.create("web", "red/a");
    let get = GetTaskRequest { name: "nope".to_owned() };
    let error = host.call(async |client| client.tasks().get(get).await).unwrap_err();
    assert_refused(&error, Code::NotFound, "there is no task `nope`");
    let run = |task: &str, class: &str| {
        let request = PrepareRunRequest { task: task.to_owned(), traffic_class: class.to_owned() };
        host.call(async |client| client.tasks().prepare_run(request).await).unwrap_err()
    };
    assert_refused(&run("nope", "logs"), Code::NotFound, "there is no task `nope`");
    assert_refused(&run("web", "nope"), Code::InvalidArgument, "`nope` is not a traffic class");
    assert_refused(&run("../web", "logs"), Code::InvalidArgument, "is not a task name");
    let error = host.try_delete("a/b").unwrap_err();
    assert_refused(&error, Code::InvalidArgument, "is not a task name");
}
