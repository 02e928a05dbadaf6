//! Security groups, prefix lists and what they would decide.

use enid_api::v1::{
    ExplainResponse, ExplainStep, ListNetworksResponse, PrefixList, Rule, SecurityGroup, Vpc,
};

use crate::daemon::{Answers, Daemon};
use crate::output;

fn network() -> Answers {
    let rule = |text: &str, peer: &str| Rule { text: text.into(), peer: peer.into(), ..Rule::default() };
    let group = SecurityGroup {
        id: "sg-1".into(),
        name: "web".into(),
        ingress: vec![
            Rule { protocol: "icmp".into(), icmp_type: Some(8), ..rule("icmp:8:0.0.0.0/0", "0.0.0.0/0") },
            rule("tcp:443:pl=corporate", "pl-1"),
        ],
        ..SecurityGroup::default()
    };
    let list = PrefixList {
        id: "pl-1".into(),
        name: "corporate".into(),
        entries: vec!["192.0.2.0/24".into(), "2001:db8::/32".into()],
        ..PrefixList::default()
    };
    let vpc = Vpc {
        id: "vpc-1".into(),
        name: "blue".into(),
        security_groups: vec![group],
        prefix_lists: vec![list],
        ..Vpc::default()
    };
    Answers { networks: ListNetworksResponse { vpcs: vec![vpc] }, ..Answers::default() }
}

#[test]
fn groups_and_lists_are_listed_and_shown() {
    let daemon = Daemon::start(network());
    let listed = daemon.stdout(&["security-group", "list"]);
    assert!(
        listed.contains("blue/web        sg-1  icmp:8:0.0.0.0/0, tcp:443:pl=corporate  nothing\n"),
        "{listed}"
    );
    let shown = daemon.stdout(&["security-group", "show", "web"]);
    assert!(shown.contains("ingress    tcp:443:pl=corporate  pl-1\n"), "{shown}");
    let json = daemon.stdout(&["security-group", "show", "web", "-o", "json"]);
    assert!(json.contains("\"icmpType\": 8") && json.contains("\"text\": \"icmp:8:0.0.0.0/0\""), "{json}");

    assert!(daemon.stdout(&["prefix-list", "list"]).contains("blue/corporate  pl-1        2\n"));
    assert!(daemon.stdout(&["vpc", "show", "blue"]).contains("blue/corporate  pl-1        2\n"));
    assert!(
        daemon.stdout(&["prefix-list", "show", "blue/corporate"]).contains("entry        2001:db8::/32\n")
    );
    let yaml = daemon.stdout(&["prefix-list", "list", "-o", "yaml"]);
    assert!(yaml.starts_with("prefixLists:\n- id: pl-1\n"), "{yaml}");
    assert_eq!(daemon.stdout(&["prefix-list", "delete", "corporate"]), "prefix list corporate deleted\n");
    let (code, _, stderr) = daemon.output(&["prefix-list", "show", "partners"]);
    assert_eq!(code, 1);
    assert_eq!(
        stderr,
        "enictl: there is no prefix list `partners`: `enictl prefix-list list` shows those that exist\n"
    );
}

#[test]
fn a_groups_rules_are_added_removed_and_replaced() {
    let daemon = Daemon::start(Answers::default());
    let update = |arguments: &[&str]| daemon.stdout(&[&["security-group", "update"], arguments].concat());
    assert_eq!(
        update(&[
            "web",
            "--add-ingress",
            "6:443:sg=lb",
            "icmp:echo-request:0.0.0.0/0",
            "--remove-egress",
            "all:::/0"
        ]),
        "web: + ingress tcp:443:sg=lb\nweb: + ingress icmp:8:0.0.0.0/0\nweb: - egress all:::/0\n"
    );
    assert_eq!(
        update(&["web", "--vpc", "shop", "--ingress", "udp:53:pl=resolvers", "--egress"]),
        "shop/web: clear ingress\nshop/web: + ingress udp:53:pl=resolvers\nshop/web: clear egress\n"
    );
    // An option may be repeated, and a direction may gain and lose at once.
    assert_eq!(
        update(&[
            "dry/web",
            "--add-egress",
            "all:sg=a",
            "--add-egress",
            "all:sg=b",
            "--remove-egress",
            "tcp:all:sg=c",
            "--dry-run"
        ]),
        "dry/web: - egress tcp:all:sg=c\ndry/web: + egress all:sg=a\ndry/web: + egress all:sg=b\n\
         dry run: nothing was changed\n"
    );
}

#[test]
fn a_lists_entries_are_added_removed_and_replaced() {
    let daemon = Daemon::start(Answers::default());
    let update = |arguments: &[&str]| daemon.stdout(&[&["prefix-list", "update"], arguments].concat());
    assert_eq!(
        update(&[
            "corporate",
            "--vpc",
            "dry",
            "--add",
            "10.0.0.0/8",
            "fd00::/8",
            "--remove",
            "::/0",
            "--dry-run"
        ]),
        "dry/corporate: - entry ::/0\ndry/corporate: + entry 10.0.0.0/8\ndry/corporate: + entry fd00::/8\n\
         dry run: nothing was changed\n"
    );
    assert_eq!(update(&["corporate", "--entries"]), "corporate: clear entry\n");
}

#[test]
fn bad_rules_and_entries_are_usage_errors() {
    for (arguments, said) in [
        (&["security-group", "update", "web"][..], "--ingress"),
        (&["security-group", "update", "web", "--vpc", "shop", "--dry-run"], "--add-ingress"),
        (&["security-group", "update", "web", "--add-ingress"], "--add-ingress"),
        (
            &["security-group", "update", "web", "--ingress", "all:::/0", "--add-ingress", "all:::/0"],
            "cannot be used with",
        ),
        (&["security-group", "update", "web", "--ingress", "tcp:90-80:::/0"], "the range is upside down"),
        (
            &["security-group", "update", "web", "--egress", "esp:443:::/0"],
            "only rules for tcp and udp have ports",
        ),
        (&["security-group", "update", "web", "--egress", "icmp:256:::/0"], "`256` is not an ICMP type"),
        (&["prefix-list", "update", "corporate"], "--entries"),
        (&["prefix-list", "update", "corporate", "--add", "10.0.0.1/8"], "10.0.0.0/8 is the block"),
    ] {
        let (code, stdout, stderr) = output(arguments);
        assert_eq!((code, &*stdout), (2, ""), "{arguments:?}");
        assert!(stderr.contains(said), "{arguments:?}: {stderr}");
    }
}

#[test]
fn a_task_has_groups_and_idle_timeouts() {
    let daemon = Daemon::start(Answers::default());
    let created = daemon.stdout(&[
        "task",
        "create",
        "web",
        "--subnet",
        "a",
        "--security-group",
        "a",
        "--security-group",
        "b",
        "--tcp-established-timeout",
        "350",
        "--udp-stream-timeout",
        "60",
        "-o",
        "json",
    ]);
    let eni: serde_json::Value = serde_json::from_str::<serde_json::Value>(&created).unwrap()["eni"].take();
    assert_eq!(eni["securityGroupIds"], serde_json::json!(["a", "b"]));
    assert_eq!(eni["idleTimeouts"], serde_json::json!({"tcpEstablished": 350, "udp": null, "udpStream": 60}));
}

#[test]
fn an_explanation_is_a_verdict_and_its_steps() {
    let step = |step: &str, outcome: &str| ExplainStep {
        step: step.into(),
        outcome: outcome.into(),
        ..ExplainStep::default()
    };
    let explanation = ExplainResponse {
        verdict: "refused".into(),
        steps: vec![
            ExplainStep {
                eni_id: Some("eni-1".into()),
                task: Some("web".into()),
                ..step("source check", "allowed")
            },
            ExplainStep {
                security_group: Some("web".into()),
                rule: Some("all:0.0.0.0/0".into()),
                ..step("egress rules", "allowed")
            },
            ExplainStep { detail: "no rule of default allows it".into(), ..step("ingress rules", "refused") },
        ],
        ..ExplainResponse::default()
    };
    let daemon = Daemon::start(Answers { explanation, ..Answers::default() });
    let explained =
        daemon.stdout(&["explain", "web", "--to", "10.0.0.9", "--protocol", "6", "--port", "443"]);
    let lines: Vec<&str> = explained.lines().collect();
    assert_eq!(lines[0], "packet   web → 10.0.0.9 tcp port 443");
    assert_eq!(lines[1], "verdict  refused");
    for asked in
        ["task: \"web\"", "direction: \"to\"", "protocol: \"tcp\"", "port: Some(443)", "icmp_type: None"]
    {
        assert!(lines[2].contains(asked), "{explained}");
    }
    assert_eq!(
        lines[4..],
        [
            "STEP           OUTCOME  TASK  ENI    SECURITY GROUP  RULE           DETAIL",
            "source check   allowed  web   eni-1  -               -",
            "egress rules   allowed  -     -      web             all:0.0.0.0/0",
            "ingress rules  refused  -     -      -               -              no rule of default allows it",
        ]
    );
    let json = daemon.stdout(&[
        "explain",
        "web",
        "--from",
        "fd00::1",
        "--protocol",
        "icmpv6",
        "--icmp-type",
        "packet-too-big",
        "-o",
        "json",
    ]);
    for part in ["\"verdict\": \"refused\"", "direction: \\\"from\\\"", "icmp_type: Some(2)"] {
        assert!(json.contains(part), "{json}");
    }
}

#[test]
fn a_packet_that_can_not_be_is_a_usage_error() {
    for (arguments, said) in [
        (&["--protocol", "tcp", "--port", "1"][..], "--to <ADDRESS>"),
        (&["--to", "10.0.0.1", "--from", "10.0.0.2", "--protocol", "esp"], "cannot be used with"),
        (&["--to", "10.0.0.1", "--protocol", "tpc"], "`tpc` is not a protocol"),
        (&["--to", "10.0.0.1", "--protocol", "all"], "a packet has one protocol"),
        (&["--to", "10.0.0.1", "--protocol", "tcp"], "tcp and udp need --port"),
        (&["--to", "10.0.0.1", "--protocol", "esp", "--port", "1"], "ports are for tcp and udp"),
        (
            &["--to", "10.0.0.1", "--protocol", "esp", "--icmp-type", "8"],
            "types and codes are for icmp and icmpv6",
        ),
        (&["--to", "10.0.0.1", "--protocol", "icmp", "--icmp-type", "256"], "`256` is not an ICMP type"),
        (&["--to", "10.0.0.1", "--protocol", "icmp", "--icmp-code", "0"], "--icmp-type <TYPE>"),
        (&["--to", "web", "--protocol", "icmp"], "--to <ADDRESS>"),
    ] {
        let (code, stdout, stderr) = output(&[&["explain", "web"], arguments].concat());
        assert_eq!((code, &*stdout), (2, ""), "{arguments:?}");
        assert!(stderr.contains(said), "{arguments:?}: {stderr}");
    }
}
