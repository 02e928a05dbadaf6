//! `enictl flow-log`.

use enid_api::v1::FlowLog;

use crate::daemon::{Answers, Daemon};
use crate::output;

#[test]
fn what_is_asked_for_is_what_the_daemon_is_told() {
    let daemon = Daemon::start(Answers::default());
    let told = daemon.stdout(&[
        "flow-log",
        "create",
        "all",
        "--subnet",
        "shop/a",
        "--destination",
        "s3://logs/a",
        "--format",
        "${srcaddr}",
        "--interval",
        "60",
        "--traffic",
        "REJECT",
        "--file-format",
        "parquet",
        "--hive-partitions",
        "--interface-tag",
        "Name",
        "--interface-tag",
        "Owner",
    ]);
    for part in [
        "target: Some(Subnet(\"shop/a\"))",
        "destination: \"s3://logs/a\"",
        "format: Some(\"${srcaddr}\")",
        "interval_seconds: Some(60)",
        "traffic: Some(\"REJECT\")",
        "FlowLogFiles { format: \"parquet\", hive_partitions: true, hourly_partitions: false }",
        "interface_tags: [\"Name\", \"Owner\"]",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    for (option, target) in [("--vpc", "Vpc"), ("--task", "Task"), ("--eni", "Eni")] {
        let told = daemon.stdout(&["flow-log", "create", "all", option, "x", "--destination", "/a"]);
        assert!(told.contains(&format!("target: Some({target}(\"x\"))")), "{told}");
        assert!(told.contains("interval_seconds: None"), "{told}");
    }
}

#[test]
fn a_flow_log_is_of_one_thing() {
    for targets in [&[][..], &["--vpc", "a", "--task", "b"]] {
        let create = [&["flow-log", "create", "all", "--destination", "/a"], targets].concat();
        let (code, _, stderr) = output(&create);
        assert_eq!(code, 2, "{stderr}");
        assert!(stderr.contains("--vpc"), "{stderr}");
    }
}

#[test]
fn flow_logs_are_listed_shown_and_deleted() {
    let all = FlowLog {
        id: "fl-1".into(),
        name: "all".into(),
        target_name: "vpc shop".into(),
        ..FlowLog::default()
    };
    let daemon = Daemon::start(Answers { flow_logs: vec![all], ..Answers::default() });
    assert!(daemon.stdout(&["flow-log", "list"]).contains("all   fl-1  vpc shop"));
    let json = daemon.stdout(&["flow-log", "list", "-o", "json"]);
    assert!(json.contains("\"flowLogs\": [") && json.contains("\"targetName\": \"vpc shop\""), "{json}");
    assert!(daemon.stdout(&["flow-log", "show", "all", "-o", "yaml"]).starts_with("id: fl-1\n"));
    let (code, _, stderr) = daemon.output(&["flow-log", "show", "none"]);
    assert_eq!((code, &*stderr), (1, "enictl: there is no flow log `none`\n"));
    assert_eq!(
        daemon.stdout(&["flow-log", "delete", "all", "none"]),
        "flow log all deleted\nthere was no flow log none\n"
    );
}
