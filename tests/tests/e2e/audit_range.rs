//! Any range of time closes by itself: records and buckets against what the ledger counted in it.

use std::collections::BTreeSet;
use std::fs;

use enid_spool::Reader;
use enid_testbed::traffic::{ping, udp};
use enid_testbed::{DaemonKind, Host, HostOptions};
use serde_json::Value;

use crate::command_line::{enictl, succeed};
use crate::delivery::{Pair, create};
use crate::ledger::flush;
use crate::networks::{host_as, inside, ipv4};

/// Whatever has happened: up to the end of each batch nothing is left over, and so in none of them.
#[track_caller]
pub(crate) fn assert_each_range_closes(host: &Host) {
    let mut reader = Reader::open(&host.state_directory().join("spool"), 0).unwrap();
    let mut ends = BTreeSet::new();
    while let Some(batch) = reader.next_batch().unwrap() {
        ends.insert(batch.ended.to_string());
    }
    for end in &ends {
        let (code, said, error) = enictl(host, &["audit", "--until", end]);
        // The first may have had no length.
        let is_empty = Some(end) == ends.first() && error.contains("nothing of this range");
        assert!(is_empty || code == 0 && said.ends_with("nothing left over\n"), "{said}{error}");
    }
}

/// The accounts of an audit, which must close.
#[track_caller]
fn audit(host: &Host, arguments: &[&str]) -> Value {
    let all = [&["audit", "-o", "json"], arguments].concat();
    serde_json::from_str(&succeed(host, &all)).unwrap()
}

/// The ENI of a task in an audit.
#[track_caller]
fn of<'a>(audit: &'a Value, task: &str) -> &'a Value {
    let enis = audit["enis"].as_array().unwrap();
    enis.iter().find(|eni| eni["task"] == task).unwrap_or_else(|| panic!("no {task} in {audit:#}"))
}

fn packets(part: &Value) -> u64 {
    part["packets"].as_u64().unwrap()
}

/// Adds up what audits of several ranges have of a task's egress: records, buckets and the ledger.
fn sum(audits: &[Value], task: &str) -> [u64; 3] {
    let mut sum = [0; 3];
    for audit in audits {
        let Some(eni) = audit["enis"].as_array().unwrap().iter().find(|eni| eni["task"] == task) else {
            continue;
        };
        let egress = &eni["egress"];
        let buckets = egress["buckets"].as_object().unwrap().values().map(packets).sum::<u64>();
        for (sum, part) in
            sum.iter_mut().zip([packets(&egress["records"]), buckets, packets(&egress["wireLedger"])])
        {
            *sum += part;
        }
    }
    sum
}

/// A daemon whose intervals end when the test says so.
fn host() -> Host {
    host_as(&HostOptions { daemon: DaemonKind::Process, interval_seconds: 600, ..HostOptions::default() })
}

/// Ends the interval, and waits until the second is over, so that what comes next is of another one.
fn end_interval(host: &Host) -> String {
    flush(host);
    let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let ended = now();
    assert!(enid_testbed::wait_until(enid_testbed::DEADLINE, || now() > ended));
    // The next interval began in the second that the flush was in.
    flush(host);
    now().to_string()
}

#[test]
fn each_range_closes_and_all_of_them_are_all_there_is() {
    let mut host = host();
    let pair = Pair::new(&host);
    pair.send(3);
    let first = end_interval(&host);
    // Also what is refused, and what a VPC does not log.
    assert!(ping(&inside(&pair.a), ipv4(&pair.b), 2, 56));
    let gateway = pair.a.eni.as_ref().unwrap().ipv4_gateway.as_deref().unwrap().parse().unwrap();
    assert!(ping(&inside(&pair.a), gateway, 3, 56));
    let nowhere = udp(&inside(&pair.a), ipv4(&pair.a), 0);
    nowhere.send_to(b"x", "192.0.2.1:9").unwrap();
    let second = end_interval(&host);
    // One that has no record at all.
    let brief = host.create("brief", "red/a");
    let gateway = brief.eni.as_ref().unwrap().ipv4_gateway.as_deref().unwrap().parse().unwrap();
    assert!(ping(&inside(&brief), gateway, 4, 56));
    host.delete("brief");
    // What two ENIs share ends with either of them, before the interval of the other is over.
    pair.send(5);
    host.delete("b");
    send_datagrams_nowhere(&pair);
    host.kill_daemon();
    send_datagrams_nowhere(&pair);
    host.start_daemon();
    flush(&host);

    let all = audit(&host, &["--since", "1h"]);
    let ranges = [
        audit(&host, &["--until", &first]),
        audit(&host, &["--since", &first, "--until", &second]),
        audit(&host, &["--since", &second]),
    ];
    for pair in ranges.windows(2) {
        assert_eq!(pair[0]["until"], pair[1]["since"], "{ranges:#?}");
    }
    let [records, buckets, ledger] = sum(&ranges, "a");
    assert_eq!([records, buckets, ledger], sum(std::slice::from_ref(&all), "a"));
    assert_eq!(records + buckets, ledger);
    let middle = &of(&ranges[1], "a")["egress"]["buckets"];
    assert_eq!(packets(&middle["not-logged"]), 3, "{middle:#}");
    assert!(packets(&of(&ranges[2], "b")["ingress"]["wireLedger"]) >= 5, "{:#}", ranges[2]);
    assert_eq!(packets(&of(&ranges[0], "b")["ingress"]["records"]), 3);

    let brief = &of(&ranges[2], "brief")["egress"];
    assert_eq!((packets(&brief["records"]), packets(&brief["buckets"]["not-logged"])), (0, 4), "{brief:#}");

    // The whole of the ledger is what the audit of all there is has.
    let live = audit(&host, &[]);
    assert_eq!(
        of(&live, "a")["egress"]["wireLedger"]["packets"].to_string().trim_matches('"'),
        ledger.to_string()
    );
}

/// Three datagrams to an address that nobody has.
fn send_datagrams_nowhere(pair: &Pair) {
    let socket = udp(&inside(&pair.a), ipv4(&pair.a), 0);
    for _ in 0..3 {
        socket.send_to(b"x", (ipv4(&pair.b), 9)).unwrap();
    }
}

#[test]
fn delivered_files_are_held_against_the_ledgers() {
    let host = host();
    create(&host, "all", |request| {
        request.format = Some("${interface-id} ${flow-direction} ${packets} ${bytes} ${end}".into());
        request.interval_seconds = Some(1);
    });
    create(&host, "plain", |request| request.interval_seconds = Some(1));
    create(&host, "accepted", |request| request.traffic = Some("ACCEPT".into()));
    create(&host, "short", |request| request.format = Some("${interface-id} ${packets}".into()));
    let pair = Pair::new(&host);
    pair.send(4);
    end_interval(&host);
    for flow_log in ["all", "plain"] {
        let found = audit(&host, &["--flow-log", flow_log]);
        let part = if flow_log == "all" { "egress" } else { "both" };
        let records = packets(&of(&found, "a")[part]["records"]);
        assert!(records >= 4, "{found:#}");
        let of_b = audit(&host, &["b", "--flow-log", flow_log]);
        assert_eq!(of_b["enis"].as_array().unwrap().len(), 1);
    }
    for (arguments, said) in [
        (&["--flow-log", "accepted"][..], "it has ACCEPT records only"),
        (&["--flow-log", "short"], "its format lacks `end`"),
        (&["--flow-log", "none"], "none"),
        (&["nobody", "--flow-log", "all"], "there is nothing of a task `nobody`"),
        (&["--since", "2026-01-01T00:00:00Z", "--until", "2026-01-01T00:00:00Z"], "is not before"),
        (&["--until", "1000"], "the spool has nothing of this range"),
        (&["--from", "/tmp"], "--flow-log"),
    ] {
        let (code, _, error) = enictl(&host, &[&["audit"], arguments].concat());
        assert!(code != 0 && error.contains(said), "{arguments:?}: {error}");
    }

    // What was moved is found where it is; what is gone is missing.
    let (folder, aside) =
        (host.state_directory().join("out").join("all"), host.state_directory().join("aside"));
    fs::create_dir(&aside).unwrap();
    let files = crate::delivery::files(&folder);
    for file in &files {
        fs::copy(file, aside.join(file.file_name().unwrap())).unwrap();
    }
    audit(&host, &["--flow-log", "all", "--from", &aside.display().to_string()]);
    for file in files {
        fs::remove_file(file).unwrap();
    }
    let (code, text, _) = enictl(&host, &["audit", "--flow-log", "all"]);
    assert!(code == 1 && text.contains("with something left over"), "{text}");
}
