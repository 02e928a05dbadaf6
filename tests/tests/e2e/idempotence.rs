//! Create and delete, again and at any state of things.

use std::fs;
use std::thread;

use enid_api::v1::{CreateTaskRequest, IdleTimeouts, Task};
use enid_testbed::namespace::{self, command};
use enid_testbed::traffic::{no_ping, ping};
use enid_testbed::{DEADLINE, Host, new_task, wait_until};
use rustix::mount::{UnmountFlags, unmount};
use tonic::Code;

use crate::kernel::{assert_only_listed_tasks, host_ends};
use crate::networks::{host, inside, ipv4, ipv6, number, router, subnet};

#[test]
fn creating_twice_is_the_same_answer() {
    let host = host();
    let first = host.create("web", "red/a");
    assert_eq!(host.create("web", "red/a"), first);
    // What it has may be asked for by name.
    let same = CreateTaskRequest {
        ipv4: Some(ipv4(&first).to_string()),
        ipv6: Some(ipv6(&first).to_string()),
        mtu: Some(9001),
        platform_version: Some("LATEST".to_owned()),
        security_groups: vec!["default".to_owned()],
        ..new_task("web", &subnet(&host, "red/a").id)
    };
    assert_eq!(host.create_as(&same).unwrap(), first);
    assert_only_listed_tasks(&host);
}

#[test]
fn creating_something_else_of_the_name_is_refused() {
    let host = host();
    let task = host.create("web", "red/a");
    let base = || new_task("web", "red/a");
    let others = [
        (new_task("web", "red/b"), subnet(&host, "red/a").id),
        (new_task("web", "blue/a"), subnet(&host, "red/a").id),
        (CreateTaskRequest { security_groups: vec!["g1".to_owned()], ..base() }, "security group".to_owned()),
        (CreateTaskRequest { ipv4: Some("10.0.0.99".to_owned()), ..base() }, "10.0.0.4".to_owned()),
        (CreateTaskRequest { ipv6: Some("fd00:a::99".to_owned()), ..base() }, ipv6(&task).to_string()),
        (CreateTaskRequest { mtu: Some(1500), ..base() }, "MTU 9001".to_owned()),
        (
            CreateTaskRequest {
                idle_timeouts: Some(IdleTimeouts { udp: Some(60), ..IdleTimeouts::default() }),
                ..base()
            },
            "idle timeouts 432000 s (TCP), 30 s (UDP), 180 s (UDP stream)".to_owned(),
        ),
        (CreateTaskRequest { netns: Some("/proc/self/ns/net".to_owned()), ..base() }, task.netns.clone()),
    ];
    for (request, difference) in others {
        let error = host.create_as(&request).unwrap_err();
        assert_eq!(error.code(), Code::AlreadyExists, "{error}");
        assert!(error.message().contains("task web exists already"), "{error}");
        assert!(error.message().contains(&difference), "{error} names {difference}");
    }
    assert_eq!(host.tasks(), [task]);
}

#[test]
fn deleting_twice_succeeds() {
    let host = host();
    host.create("web", "red/a");
    assert!(host.delete("web"));
    assert!(!host.delete("web"));
    assert!(!host.delete("never-was"));
    assert_only_listed_tasks(&host);
}

/// Creates a task, lets `break_it` take something of it away, and asserts that a delete succeeds all the same and that
/// its name and addresses can be given at once, to a task that works.
#[track_caller]
fn assert_delete_succeeds_after(break_it: impl FnOnce(&Host, &Task)) {
    let host = host();
    let peer = host.create("peer", "red/b");
    let task = host.create("web", "red/a");
    assert!(ping(&inside(&task), ipv4(&peer), 1, 56));
    break_it(&host, &task);
    assert!(host.delete("web"));
    assert!(!host.delete("web"));

    let same = CreateTaskRequest {
        ipv4: Some(ipv4(&task).to_string()),
        ipv6: Some(ipv6(&task).to_string()),
        ..new_task("web", "red/a")
    };
    let again = host.create_as(&same).unwrap();
    assert_eq!(ipv4(&again), ipv4(&task));
    assert!(ping(&inside(&again), ipv4(&peer), 1, 56));
    assert!(ping(&inside(&again), ipv6(&peer), 1, 56));
    assert_only_listed_tasks(&host);
    crate::ledger::assert_closed(&host);
}

#[test]
fn deleting_without_anything_amiss_frees_name_and_addresses() {
    assert_delete_succeeds_after(|_, _| {});
}

#[test]
fn deleting_a_task_whose_namespace_is_gone_succeeds() {
    assert_delete_succeeds_after(|host, task| {
        remove_namespace(&task.netns);
        // The kernel takes the namespace and its link away in its own time.
        let name = format!("eni{}", number(task));
        assert!(wait_until(DEADLINE, || !host_ends(host).contains(&name)));
    });
}

#[test]
fn deleting_a_task_whose_namespace_lost_its_name_succeeds() {
    assert_delete_succeeds_after(|_, task| {
        let kept = inside(task);
        remove_namespace(&task.netns);
        // Somebody is in it still.
        thread::spawn(move || {
            thread::sleep(std::time::Duration::from_millis(200));
            drop(kept);
        });
    });
}

#[test]
fn deleting_a_task_whose_link_is_gone_succeeds() {
    assert_delete_succeeds_after(|_, task| {
        command(&inside(task), &["ip", "link", "delete", "eth0"]);
    });
}

#[test]
fn deleting_a_task_whose_host_end_is_gone_succeeds() {
    assert_delete_succeeds_after(|host, task| {
        command(&router(host, "red"), &["ip", "link", "delete", &format!("eni{}", number(task))]);
    });
}

#[test]
fn deleting_a_task_whose_routes_are_gone_succeeds() {
    assert_delete_succeeds_after(|host, task| {
        let device = format!("eni{}", number(task));
        let router = router(host, "red");
        command(&router, &["ip", "route", "flush", "dev", &device]);
        command(&router, &["ip", "-6", "route", "flush", "dev", &device]);
        command(&router, &["ip", "link", "set", "dev", &device, "down"]);
    });
}

#[test]
fn deleting_leaves_a_namespace_of_the_same_name_alone() {
    let host = host();
    let task = host.create("web", "red/a");
    remove_namespace(&task.netns);
    let theirs = namespace::create(task.netns.as_ref());
    assert!(host.delete("web"));
    let found = namespace::open(&task.netns);
    assert_eq!(found.id(), theirs.id(), "what somebody else made since is not the task's");
    // It is in the way of a new task of that name, which says so.
    let error = host.create_as(&new_task("web", "red/a")).unwrap_err();
    assert_eq!(error.code(), Code::AlreadyExists, "{error}");
    remove_namespace(&task.netns);
    host.create("web", "red/a");
}

#[test]
fn a_deleted_task_sends_and_receives_nothing() {
    let host = host();
    let peer = host.create("peer", "red/a");
    let task = host.create("web", "red/a");
    // The namespace lives on, as it does while a process is in it.
    let kept = inside(&task);
    assert!(ping(&kept, ipv4(&peer), 1, 56));
    assert!(host.delete("web"));
    assert!(no_ping(&kept, ipv4(&peer)));
    assert!(no_ping(&inside(&peer), ipv4(&task)));
}

#[test]
fn many_creates_of_one_name_are_one_eni() {
    let host = host();
    let answers: Vec<Task> = thread::scope(|scope| {
        let callers: Vec<_> = (0..20).map(|_| scope.spawn(|| host.create("web", "red/a"))).collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).collect()
    });
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(host.tasks(), [answers[0].clone()]);
    assert_only_listed_tasks(&host);
    let available = subnet(&host, "red/a").available_ipv4_addresses;
    assert_eq!(available, Some(250));
}

#[track_caller]
fn remove_namespace(path: &str) {
    unmount(path, UnmountFlags::DETACH).unwrap();
    fs::remove_file(path).unwrap();
}
