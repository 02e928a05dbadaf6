//! The doctor.

use std::fs;

use enid_api::v1::{DoctorRequest, Finding};
use enid_testbed::Host;
use rustix::mount::{UnmountFlags, unmount};

use crate::networks::{host, number, router};

fn findings(host: &Host) -> Vec<Finding> {
    host.call(async |client| client.host().doctor(DoctorRequest {}).await).unwrap().findings
}

#[track_caller]
fn assert_names(host: &Host, severity: &str, subject: &str, detail: &str) {
    let findings = findings(host);
    let found = findings.iter().any(|finding| {
        finding.severity == severity && finding.subject == subject && finding.detail.contains(detail)
    });
    assert!(found, "{findings:?}");
}

#[test]
fn a_healthy_host_is_well() {
    let host = host();
    host.create("web", "shop/a");
    let findings = findings(&host);
    assert!(findings.iter().all(|finding| finding.severity == "ok"), "{findings:?}");
    for subject in ["kernel", "BTF", "run directory", "bpf", "cgroup2", "nftables", "tasks", "leaks"] {
        assert!(findings.iter().any(|finding| finding.subject == subject), "{subject}");
    }
}

#[test]
fn a_task_whose_namespace_is_gone_is_named() {
    let host = host();
    let task = host.create("web", "red/a");
    unmount(&*task.netns, UnmountFlags::DETACH).unwrap();
    fs::remove_file(&task.netns).unwrap();
    assert_names(&host, "failure", "task web", "is gone; delete the task");
    host.delete("web");
    assert_names(&host, "ok", "tasks", "0 tasks");
}

#[test]
fn a_task_whose_link_is_gone_is_named() {
    let host = host();
    let task = host.create("web", "red/a");
    let device = format!("eni{}", number(&task));
    enid_testbed::namespace::command(&router(&host, "red"), &["ip", "link", "delete", &device]);
    assert_names(&host, "failure", "task web", "link is gone; delete the task");
}

#[test]
fn a_link_of_no_task_is_named() {
    let host = host();
    host.create("web", "red/a");
    let add =
        ["ip", "link", "add", "index", "1500000", "name", "stray", "type", "veth", "peer", "name", "stray2"];
    enid_testbed::namespace::command(&router(&host, "red"), &add);
    assert_names(&host, "warning", "leaks", "1500000");
}
