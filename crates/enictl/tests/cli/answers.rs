//! How answers are printed, and which of them are failures.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use enid_api::v1::{
    AuditResponse, DirectionAudit, DoctorResponse, EniAudit, Finding, ListNetworksResponse, PacketsAndBytes,
    Subnet, Task, Vpc,
};

use crate::Folder;
use crate::daemon::{Answers, Daemon};

fn web() -> Task {
    Task { name: "web".into(), netns: "/run/netns/web".into(), ..Task::default() }
}

#[test]
fn json_and_yaml_are_the_message_in_camel_case() {
    let daemon = Daemon::start(Answers { tasks: vec![web()], ..Answers::default() });
    let json = daemon.stdout(&["task", "show", "web", "-o", "json"]);
    assert!(json.contains("\n  \"platformVersion\": \"\",\n"), "{json}");
    let list = daemon.stdout(&["-o", "yaml", "task", "list"]);
    assert!(list.starts_with("tasks:\n- name: web\n"), "{list}");
    assert_eq!(daemon.stdout(&["flush", "-o", "json"]), "{\n  \"records\": 1234\n}\n");
}

#[test]
fn the_daemons_refusal_is_its_sentence_alone() {
    let daemon = Daemon::start(Answers::default());
    assert_eq!(
        daemon.output(&["task", "show", "web"]),
        (1, String::new(), "enictl: there is no task `web`\n".into())
    );
    let folder = Folder::new();
    let file = folder.file("network.toml", "colour");
    let (code, _, stderr) = daemon.output(&["apply", "-f", &file]);
    assert_eq!(code, 1);
    assert_eq!(stderr, format!("enictl: {file}: line 1: `colour` is not a field\n"));
}

#[test]
fn a_relative_netns_is_told_the_daemon_absolute() {
    let daemon = Daemon::start(Answers::default());
    let task = daemon
        .enictl(&["task", "create", "web", "--subnet", "a", "--netns", "web"])
        .current_dir("/run")
        .output()
        .unwrap();
    let stdout = String::from_utf8(task.stdout).unwrap();
    assert!(stdout.contains("netns             /run/web\n"), "{stdout}");
}

#[test]
fn deleting_goes_on_past_a_failure() {
    let daemon = Daemon::start(Answers { tasks: vec![web()], ..Answers::default() });
    let (code, stdout, stderr) = daemon.output(&["task", "delete", "stuck", "web", "gone"]);
    assert_eq!(code, 1);
    assert_eq!(stdout, "task web deleted\nthere was no task gone\n");
    assert_eq!(stderr, "enictl: the kernel keeps task `stuck`\n");
}

#[test]
fn subnets_are_found_in_their_vpcs() {
    let subnet = Subnet {
        id: "subnet-1".into(),
        name: "a".into(),
        available_ipv4_addresses: Some(4_091),
        ..Subnet::default()
    };
    let vpc = Vpc { id: "vpc-1".into(), name: "blue".into(), subnets: vec![subnet], ..Vpc::default() };
    let daemon =
        Daemon::start(Answers { networks: ListNetworksResponse { vpcs: vec![vpc] }, ..Answers::default() });
    assert!(daemon.stdout(&["vpc", "show", "blue"]).contains("blue/a"));
    assert!(daemon.stdout(&["subnet", "show", "a"]).contains("4,091"));
    let json = daemon.stdout(&["subnet", "list", "-o", "json"]);
    assert!(json.contains("\"availableIpv4Addresses\": 4091"), "{json}");
    let (code, _, stderr) = daemon.output(&["vpc", "show", "red"]);
    assert_eq!(code, 1);
    assert!(stderr.starts_with("enictl: there is no VPC `red`"), "{stderr}");
}

#[test]
fn an_audit_with_something_left_over_fails() {
    for (wire_packets, code) in [(1, 0), (2, 1)] {
        let counted = |packets| Some(PacketsAndBytes { packets, bytes: 0 });
        let egress = DirectionAudit {
            records: counted(1),
            wire_ledger: counted(wire_packets),
            ..DirectionAudit::default()
        };
        let eni = EniAudit { egress: Some(egress), ..EniAudit::default() };
        let daemon =
            Daemon::start(Answers { audit: AuditResponse { enis: vec![eni] }, ..Answers::default() });
        assert_eq!(daemon.output(&["audit"]).0, code);
        assert_eq!(daemon.output(&["audit", "-o", "json"]).0, code);
    }
}

#[test]
fn a_doctor_that_finds_a_failure_fails() {
    for (severity, code) in [("ok", 0), ("warning", 0), ("failure", 1)] {
        let finding = Finding { severity: severity.into(), ..Finding::default() };
        let daemon = Daemon::start(Answers {
            doctor: DoctorResponse { findings: vec![finding], ..DoctorResponse::default() },
            ..Answers::default()
        });
        assert_eq!(daemon.output(&["doctor"]).0, code, "{severity}");
    }
}

#[test]
fn watching_prints_until_it_ends() {
    let daemon = Daemon::start(Answers::default());
    let mut child =
        daemon.enictl(&["counters", "--watch", "-o", "json"]).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let lines: Vec<_> = lines.take(2).map(Result::unwrap).collect();
    assert_eq!(lines, ["{\"enis\":[],\"flowTable\":null}"; 2]);
    // The reader has left, so the next line ends the program, without a failure.
    assert!(child.wait().unwrap().success());
}
