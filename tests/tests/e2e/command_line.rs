//! `enictl`, against a real daemon.

use std::process::Command;

use enid_testbed::traffic::ping;
use enid_testbed::{Host, HostOptions, program};
use serde_json::Value;

use crate::networks::{NETWORKS, host, ipv4};

/// How `enictl` ends, and what it says on the standard output and the standard error.
pub(crate) fn enictl(host: &Host, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(program("enictl"));
    let output = command.env("ENID_SOCKET", host.socket()).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// What a command prints that must succeed, without a word on the standard error.
#[track_caller]
pub(crate) fn succeed(host: &Host, arguments: &[&str]) -> String {
    let (code, stdout, stderr) = enictl(host, arguments);
    assert_eq!((code, &*stderr), (0, ""), "{arguments:?}");
    stdout
}

#[track_caller]
fn json(host: &Host, arguments: &[&str]) -> Value {
    serde_json::from_str(&succeed(host, &[arguments, &["-o", "json"]].concat())).unwrap()
}

#[test]
fn a_task_from_its_network_to_its_flows() {
    let host = Host::start(&HostOptions::default());
    let file = host.folder().join("network.toml");
    std::fs::write(&file, NETWORKS).unwrap();
    let file = file.display().to_string();
    assert!(succeed(&host, &["apply", "-f", &file]).contains("+ vpc red"));
    assert_eq!(succeed(&host, &["apply", "-f", &file]), "nothing to change\n");

    let task = json(&host, &["task", "create", "web", "--subnet", "red/a", "--mtu", "1500"]);
    assert_eq!(task["eni"]["mtu"], 1500);
    assert_eq!(task["eni"]["ipv4Gateway"], "10.0.0.1");
    assert_eq!(task["platformVersion"], "1.4.0");
    assert_eq!(json(&host, &["task", "show", "web"]), task);
    assert_eq!(
        host.create_as(&enid_api::v1::CreateTaskRequest {
            mtu: Some(1500),
            ..enid_testbed::new_task("web", "red/a")
        })
        .unwrap()
        .name,
        "web"
    );

    let peer = host.create("peer", "red/b");
    let inside = enid_testbed::namespace::open(task["netns"].as_str().unwrap());
    assert!(ping(&inside, ipv4(&peer), 4, 56));
    assert!(succeed(&host, &["flush"]).contains("flow records written"));
    let flows = succeed(&host, &["flows", "--task", "web", "--direction", "egress", "-o", "json"]);
    let flow: Value = serde_json::from_str(flows.lines().next().unwrap()).unwrap();
    assert_eq!((&flow["packets"], &flow["bytes"]), (&Value::from(4), &Value::from(336)));
    assert_eq!(flow["trafficClass"], "application");
    assert!(succeed(&host, &["counters", "web"]).contains("class application"));
    assert!(succeed(&host, &["audit"]).contains("2 ENIs audited, nothing left over"));
    succeed(&host, &["doctor"]);

    let (code, stdout, stderr) =
        enictl(&host, &["run", "web", "--class", "exec", "--", "sh", "-c", "exit 3"]);
    assert_eq!((code, &*stdout, &*stderr), (3, "", ""));
    assert_eq!(succeed(&host, &["task", "delete", "web"]), "task web deleted\n");
    assert_eq!(succeed(&host, &["task", "delete", "web"]), "there was no task web\n");
}

#[test]
fn a_flow_log_and_what_its_records_say_of_a_task() {
    let host = host();
    let directory = host.state_directory().join("delivered").display().to_string();
    succeed(
        &host,
        &["task", "create", "web", "--subnet", "red/a", "--ecs", "task-id=0f9c", "--tag", "Name=w"],
    );
    let task = json(&host, &["task", "update", "web", "--ecs", "container-id=4f1c"]);
    assert_eq!((&task["ecs"]["taskId"], &task["ecs"]["containerId"]), (&"0f9c".into(), &"4f1c".into()));
    assert_eq!(task["tags"]["Name"], "w");

    let create =
        ["flow-log", "create", "all", "--task", "web", "--interval", "60", "--destination", &*directory];
    // How its delivery goes changes all the time.
    let without_delivery = |mut flow_log: Value| {
        flow_log.as_object_mut().unwrap().remove("delivery");
        flow_log
    };
    let created = without_delivery(json(&host, &create));
    assert_eq!((&created["target"], &created["targetName"]), (&task["eni"]["id"], &"task web".into()));
    assert_eq!(without_delivery(json(&host, &create)), created);
    let (code, _, stderr) = enictl(&host, &[&create[..], &["--traffic", "REJECT"]].concat());
    let refused =
        "enictl: flow log all exists already, with traffic ALL; delete it first, or use another name\n";
    assert_eq!((code, &*stderr), (1, refused));
    let shown = succeed(&host, &["flow-log", "show", "all"]);
    assert!(shown.contains(&format!("destination  file://{directory}\n")), "{shown}");
    let listed = json(&host, &["flow-log", "list"])["flowLogs"].as_array().unwrap().clone();
    assert_eq!(listed.into_iter().map(without_delivery).collect::<Vec<_>>(), [created]);
    assert_eq!(succeed(&host, &["flow-log", "delete", "all"]), "flow log all deleted\n");
    assert_eq!(succeed(&host, &["flow-log", "delete", "all"]), "there was no flow log all\n");
}

#[test]
fn rules_change_at_run_time() {
    let host = host();
    let update =
        |arguments: &[&str]| succeed(&host, &[&["security-group", "update", "red/g1"], arguments].concat());
    let added = "~ security-group g1 of vpc red: + ingress tcp:443:sg=g2\n";
    assert_eq!(
        update(&["--add-ingress", "tcp:443:sg=g2", "--dry-run"]),
        format!("{added}dry run: nothing was changed\n")
    );
    assert_eq!(update(&["--add-ingress", "tcp:443:sg=g2"]), added);
    assert_eq!(update(&["--add-ingress", "tcp:443:sg=g2"]), "nothing to change\n");
    assert!(succeed(&host, &["security-group", "show", "g1"]).contains("ingress    tcp:443:sg=g2  sg-"));
    assert_eq!(json(&host, &["security-group", "show", "g1"])["ingress"][0]["ports"], "443");
    assert_eq!(
        update(&["--ingress", "--remove-egress", "all:::/0"]),
        "~ security-group g1 of vpc red: - ingress tcp:443:sg=g2\n~ security-group g1 of vpc red: - egress all:::/0\n"
    );
    let (code, _, stderr) =
        enictl(&host, &["security-group", "update", "red/g1", "--add-egress", "all:pl=nope"]);
    assert_eq!(code, 1);
    assert!(
        stderr.contains("egress rule all:pl=nope: there is no prefix list `nope` in vpc red"),
        "{stderr}"
    );

    let timeouts = ["--udp-timeout", "60", "--udp-stream-timeout", "120"];
    let create = ["task", "create", "web", "--subnet", "red/a", "--security-group", "g1"];
    let shown = succeed(&host, &[&create[..], &timeouts].concat());
    assert!(shown.contains("idle-timeouts     tcp 432000 s, udp 60 s, udp-stream 120 s\n"), "{shown}");
    assert_eq!(succeed(&host, &["task", "show", "web"]), shown);
    let (code, _, stderr) = enictl(&host, &["security-group", "delete", "red/g1"]);
    assert_eq!(
        (code, &*stderr),
        (1, "enictl: security group g1 is in use by task web; delete the task first\n")
    );
}

#[test]
fn failures_are_one_sentence_and_an_exit_code() {
    let host = host();
    for (arguments, code, sentence) in [
        (&["task", "create", "web", "--subnet", "nope"][..], 1, "there is no subnet `nope`"),
        (&["task", "show", "nope"], 1, "there is no task `nope`"),
        (&["run", "nope", "--class", "logs", "--", "true"], 1, "there is no task `nope`"),
        (&["vpc", "show", "nope"], 1, "`nope`"),
        (&["apply", "-f", "/no/such/file"], 1, "/no/such/file"),
        (&["task", "create", "web"], 2, "--subnet"),
        (&["run", "web", "--class", "nope", "--", "true"], 2, "nope"),
        (&["--socket", "/no/such/socket", "task", "list"], 1, "no daemon listens on /no/such/socket"),
    ] {
        let (found, stdout, stderr) = enictl(&host, arguments);
        assert!(stderr.contains(sentence), "{arguments:?}: {stderr}");
        assert_eq!((found, &*stdout), (code, ""), "{arguments:?}: {stderr}");
        assert!(code == 2 || stderr.lines().count() == 1, "{stderr}");
    }
}

#[test]
fn an_invalid_network_file_is_named_by_its_path() {
    let host = host();
    let file = host.folder().join("bad.toml");
    std::fs::write(&file, "[[vpc]]\nname = \"a b\"\n").unwrap();
    let file = file.display().to_string();
    let (code, _, stderr) = enictl(&host, &["apply", "-f", &file]);
    assert_eq!(code, 1);
    assert!(stderr.contains("bad.toml:2:"), "{stderr}");
    assert!(stderr.contains("vpc[0].name"), "{stderr}");
}
