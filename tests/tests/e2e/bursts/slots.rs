//! Slots: what is ready for tasks to come is theirs, and nobody's burden.

use std::collections::BTreeSet;
use std::time::Duration;

use enid_api::v1::delete_network_object_request::Object;
use enid_api::v1::{CreateTaskRequest, DeleteNetworkObjectRequest, DoctorRequest, Task};
use enid_netns::Inventory;
use enid_testbed::namespace::command;
use enid_testbed::traffic::ping;
use enid_testbed::{DEADLINE, DaemonKind, Host, HostOptions, namespace, new_task, wait_until};
use tonic::Code;

use super::whole::assert_whole;
use super::{options, routers, runtime, settle, setup_times, wait_until_ready};
use crate::kernel::{host_ends, link_names};
use crate::ledger::assert_closed;
use crate::networks::{NETWORKS, host_as, inside, ipv4, ipv6, number, router, vpc};

fn ready(host: &Host, vpc_name: &str) -> u32 {
    let id = vpc(host, vpc_name).id;
    setup_times(host).prepared_slots.iter().find(|slots| slots.vpc_id == id).map_or(0, |slots| slots.ready)
}

/// The numbers of the slots' host ends: those of no task.
fn slot_numbers(host: &Host) -> BTreeSet<u32> {
    let tasks: BTreeSet<u32> = host.tasks().iter().map(number).collect();
    let numbers = host_ends(host).into_iter().map(|name| name.trim_start_matches("eni").parse().unwrap());
    numbers.filter(|number| !tasks.contains(number)).collect()
}

fn taken(host: &Host) -> u64 {
    setup_times(host).stages.iter().find(|stage| stage.stage == "namespace").unwrap().admitted
}

#[track_caller]
fn assert_works(host: &Host, task: &Task) {
    assert_eq!(link_names(&inside(task)), ["lo", "eth0"]);
    for gateway in ["10.0.0.1", "fe80::1%eth0"] {
        if let Ok(gateway) = gateway.parse() {
            assert!(ping(&inside(task), gateway, 1, 56), "{}", task.name);
        }
    }
    assert!(host.tasks().contains(task));
}

#[test]
fn a_task_in_a_slot_is_like_any_other() {
    let mut host = host_as(&options(4));
    let first = host.create("first", "red/a");
    wait_until_ready(&host);
    let slots = slot_numbers(&host);
    assert_eq!(slots.len(), 4);
    let tasks: Vec<Task> = ["a", "b"].map(|name| host.create(name, "red/b")).into();
    for task in &tasks {
        assert!(slots.contains(&number(task)), "{} of {slots:?}", number(task));
        assert_works(&host, task);
        for other in tasks.iter().chain([&first]).filter(|other| other.name != task.name) {
            assert!(ping(&inside(task), ipv4(other), 3, 8000));
            assert!(ping(&inside(task), ipv6(other), 3, 8000));
        }
    }
    // Each packet since the link was born is counted.
    assert_closed(&host);
    assert!(host.delete("a"));
    assert!(!ping(&inside(&tasks[1]), ipv4(&tasks[0]), 1, 56));
    settle(&host, 4);
    let findings = host.call(async |client| client.host().doctor(DoctorRequest {}).await).unwrap().findings;
    assert!(findings.iter().all(|finding| finding.severity == "ok"), "{findings:?}");
    assert_whole(&mut host);
    assert_works(&host, &tasks[1]);
}

#[test]
fn slots_go_with_a_daemon_that_is_killed() {
    let mut host = host_as(&HostOptions { daemon: DaemonKind::Process, ..options(20) });
    let task = host.create("a", "red/a");
    wait_until_ready(&host);
    assert_eq!(slot_numbers(&host).len(), 20);
    let red = router(&host, "red");
    host.kill_daemon();
    let own = format!("eni{}", number(&task));
    let ends = || link_names(&red).into_iter().filter(|name| name.starts_with("eni")).collect::<Vec<_>>();
    assert!(wait_until(DEADLINE, || ends() == [own.as_str()]), "{:?}", ends());
    assert!(ping(&inside(&task), "10.0.0.1".parse().unwrap(), 1, 56));
    host.start_daemon();
    wait_until_ready(&host);
    assert_whole(&mut host);
}

#[test]
fn a_daemon_that_starts_at_once_finds_no_number_taken() {
    let mut host = host_as(&HostOptions { daemon: DaemonKind::Process, ..options(30) });
    host.create("first", "red/a");
    for round in 0..4 {
        // At any moment of being made ready.
        wait_until(Duration::from_millis(round * 13), || false);
        host.kill_daemon();
        host.start_daemon();
        for number in 0..4 {
            let task = host.create(&format!("t{round}-{number}"), "red/b");
            assert_works(&host, &task);
        }
    }
    assert_eq!(host.tasks().len(), 17);
    settle(&host, 30);
    assert_whole(&mut host);
}

#[test]
fn a_vpc_can_be_removed_while_slots_are_made_for_it() {
    let mut host = host_as(&options(500));
    host.create("other", "blue/a");
    for round in 0..4_u64 {
        let task = host.create("a", "red/a");
        wait_until(Duration::from_millis(30 + round * 40), || false);
        assert!(host.delete(&task.name));
        let path = vpc(&host, "red").router_netns.unwrap();
        let request = DeleteNetworkObjectRequest { object: Some(Object::Vpc("red".to_owned())) };
        host.call(async |client| client.networks().delete(request).await).unwrap();
        assert!(!std::path::Path::new(&path).exists());
        host.apply(NETWORKS);
    }
    host.delete("other");
    host.stop_daemon();
    assert_eq!(host.purge().len(), 0);
    host.start_daemon();
    assert_eq!(routers(&host).len(), 0);
}

#[test]
fn slots_give_way_where_no_number_is_left() {
    const CAPACITY: u32 = 16;
    let host = host_as(&HostOptions { eni_capacity: CAPACITY, ..options(64) });
    host.create("blue", "blue/a");
    // All that are left are slots of that VPC.
    assert!(wait_until(DEADLINE, || ready(&host, "blue") == CAPACITY - 1));
    for number in 1..CAPACITY {
        let mtu = (number % 2 == 0).then_some(1500);
        let task = host
            .create_as(&CreateTaskRequest { mtu, ..new_task(&format!("t{number}"), "red/a") })
            .unwrap_or_else(|error| panic!("{number}: {error}"));
        assert_works(&host, &task);
    }
    let error = host.create_as(&new_task("one-more", "red/a")).unwrap_err();
    assert_eq!(error.code(), Code::ResourceExhausted, "{error}");
    assert!(wait_until(DEADLINE, || slot_numbers(&host).is_empty()), "{:?}", slot_numbers(&host));
    // What is given back can be had again.
    assert!(host.delete("t1"));
    assert!(wait_until(DEADLINE, || host.create_as(&new_task("again", "red/a")).is_ok()));
}

#[test]
fn what_a_slot_is_not_made_for_is_made_as_without() {
    let host = host_as(&options(3));
    host.create("first", "red/a");
    wait_until_ready(&host);
    let slots = slot_numbers(&host);
    let small = host.create_as(&CreateTaskRequest { mtu: Some(1500), ..new_task("small", "red/a") }).unwrap();
    let path = host.folder().join("theirs");
    let _theirs = namespace::create(&path);
    let netns = Some(path.display().to_string());
    let adopted = host.create_as(&CreateTaskRequest { netns, ..new_task("adopted", "red/a") }).unwrap();
    for task in [&small, &adopted] {
        assert!(!slots.contains(&number(task)), "{}", task.name);
        assert_works(&host, task);
    }
    assert_eq!(slot_numbers(&host), slots);
}

#[test]
fn a_slot_that_somebody_broke_does_not_break_a_task() {
    let host = host_as(&options(3));
    host.create("first", "red/a");
    wait_until_ready(&host);
    let red = router(&host, "red");
    for number in slot_numbers(&host) {
        command(&red, &["ip", "link", "delete", &format!("eni{number}")]);
    }
    for name in ["a", "b", "c", "d"] {
        let task = host.create(name, "red/b");
        assert_works(&host, &task);
    }
    assert_closed(&host);
}

#[test]
fn slots_follow_what_is_declared_of_their_vpc() {
    let host = host_as(&options(3));
    host.create("first", "red/a");
    wait_until_ready(&host);
    let runtime = runtime();
    let gso = |task: &Task| {
        let links = Inventory::list(&inside(task), runtime.handle()).unwrap();
        links.into_iter().find(|link| link.name == "eth0").unwrap().gso
    };
    let before = gso(&host.create("before", "red/a"));
    wait_until_ready(&host);
    // The way out of this host is narrower.
    let with_uplink = NETWORKS.replacen("uplink = \"none\"", "uplink = \"nat\"", 1);
    host.apply(&with_uplink);
    let after = gso(&host.create("after", "red/a"));
    assert!(after.ipv4 < before.ipv4, "{after:?} {before:?}");
    settle(&host, 3);
    let numbers = slot_numbers(&host);
    let later = host.create("later", "red/a");
    assert!(numbers.contains(&number(&later)));
    assert_eq!(gso(&later), after);
}

#[test]
fn a_request_that_is_refused_costs_no_slot() {
    let host = host_as(&options(3));
    host.create("first", "red/a");
    wait_until_ready(&host);
    let (slots, made) = (slot_numbers(&host), taken(&host));
    for request in [
        CreateTaskRequest { ipv4: Some("10.0.0.4".to_owned()), ..new_task("taken", "red/a") },
        CreateTaskRequest { security_groups: vec!["nobody".to_owned()], ..new_task("no-group", "red/a") },
        new_task("first", "red/b"),
    ] {
        host.create_as(&request).unwrap_err();
    }
    assert_eq!((slot_numbers(&host), taken(&host)), (slots, made));
}
