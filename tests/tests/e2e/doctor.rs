//! The doctor.

use std::fs;

use enid::ForwardingMode;
use enid_api::v1::{CreateTaskRequest, DoctorRequest, Finding};
use enid_testbed::namespace::command;
use enid_testbed::{Host, HostOptions, new_task};
use rustix::mount::{UnmountFlags, unmount};

use crate::networks::{host, number, router};
use crate::outside::{EXCHANGE, Outside};

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
    for subject in [
        "kernel",
        "BTF",
        "forwarding",
        "run directory",
        "bpf",
        "cgroup2",
        "nftables",
        "BIG TCP",
        "tasks",
        "leaks",
    ] {
        assert!(findings.iter().any(|finding| finding.subject == subject), "{subject}");
    }
}

#[test]
fn who_forwards_is_said_and_why() {
    for (mode, detail) in [
        (ForwardingMode::Auto, "direct: the kernel takes packets straight from ENI to ENI"),
        (ForwardingMode::Direct, "direct: as the configuration says"),
        (ForwardingMode::Kernel, "kernel: as the configuration says"),
    ] {
        let host = Host::start(&HostOptions { forwarding: mode, ..Default::default() });
        assert_names(&host, "ok", "forwarding", detail);
    }
}

#[test]
fn a_way_out_that_carries_less_than_enis_send_is_named() {
    let host = host();
    let outside = Outside::new(&host, 1500, 9001);
    let small = |name: &str| CreateTaskRequest { mtu: Some(1400), ..new_task(name, "shop/a") };
    host.create_as(&small("small")).unwrap();
    host.create("inside", "red/a");
    assert!(findings(&host).iter().all(|finding| finding.severity == "ok"), "{:?}", findings(&host));
    host.create("web", "shop/a");
    let (subject, detail) =
        ("uplink of VPC shop", "wan carries packets of 1500 bytes, and 1 ENI has an MTU of up to 9001");
    assert_names(&host, "warning", subject, detail);
    // It is the host's, and stays as it is.
    assert!(command(host.namespace(), &["ip", "link", "show", "wan"]).contains("mtu 1500"));
    // A route may carry less than its device.
    outside.set_near(&host, 9001);
    assert!(findings(&host).iter().all(|finding| finding.severity == "ok"), "{:?}", findings(&host));
    let narrow = ["ip", "route", "change", "default", "via", EXCHANGE[0], "mtu", "1480"];
    command(host.namespace(), &narrow);
    assert_names(&host, "warning", subject, "wan carries packets of 1480 bytes");
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
    command(&router(&host, "red"), &["ip", "link", "delete", &device]);
    assert_names(&host, "failure", "task web", "link is gone; delete the task");
}

#[test]
fn a_link_of_no_task_is_named() {
    let host = host();
    host.create("web", "red/a");
    let add =
        ["ip", "link", "add", "index", "1500000", "name", "stray", "type", "veth", "peer", "name", "stray2"];
    command(&router(&host, "red"), &add);
    assert_names(&host, "warning", "leaks", "1500000");
}
