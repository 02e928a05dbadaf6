//! `enictl flows`.

use std::process::Stdio;
use std::sync::Arc;

use enid_api::v1::{self, FollowResponse};
use enid_flowlog::{Direction, FlowRecord, Interface, Observation, Traffic};
use enid_model::{EcsTask, Tags, TrafficClass};
use enid_spool::{Spool, SpoolOptions};

use crate::daemon::{Answers, Daemon};
use crate::{Folder, enictl, output};

const HEADER: &str = "task-name traffic-class srcaddr dstaddr srcport dstport protocol packets bytes start end action \
                      log-status flow-direction drop-reason";
const PULL: &str =
    "web image-pull 10.0.0.4 10.0.0.9 40000 5000 6 10 15000 1700000000 1700000060 ACCEPT OK egress -";
const LOGS: &str = "web logs 10.0.0.4 10.0.0.8 40001 443 6 3 300 1700000070 1700000080 ACCEPT OK egress -";
const REFUSED: &str =
    "web application 10.0.0.9 10.0.0.4 40002 22 6 2 120 1700000000 1700000060 REJECT OK ingress no-rule";
const IDLE: &str = "db - - - - - - - - 1700000000 1700000060 - NODATA - -";

/// A folder with one file of records, named as the daemon names them.
fn records() -> (Folder, String) {
    let folder = Folder::new();
    let name = "unknown_vpcflowlogs_local_fl-0123456789abcdef0_20231114T2215Z_00000000.log";
    let file = folder.file(name, &format!("{HEADER}\n{PULL}\n{LOGS}\n{REFUSED}\n{IDLE}\n"));
    (folder, file)
}

fn flows(arguments: &[&str]) -> String {
    let (_folder, file) = records();
    let (code, stdout, stderr) = output(&[&["flows", "--directory", &file], arguments].concat());
    assert_eq!((code, &*stderr), (0, ""), "{arguments:?}");
    stdout
}

#[test]
fn every_record_is_a_row() {
    assert_eq!(
        flows(&[]),
        "TIME (UTC)                      TASK  ENI  DIRECTION  CLASS        PROTOCOL  SOURCE          DESTINATION    PACKETS   BYTES  ACTION  REASON\n\
         2023-11-14 22:13:20 – 22:14:20  web   -    egress     image-pull   tcp       10.0.0.4:40000  10.0.0.9:5000       10  15,000  ACCEPT  -\n\
         2023-11-14 22:14:30 – 22:14:40  web   -    egress     logs         tcp       10.0.0.4:40001  10.0.0.8:443         3     300  ACCEPT  -\n\
         2023-11-14 22:13:20 – 22:14:20  web   -    ingress    application  tcp       10.0.0.9:40002  10.0.0.4:22          2     120  REJECT  no-rule\n\
         2023-11-14 22:13:20 – 22:14:20  db    -    -          -            -         -               -                    -       -  NODATA  -\n"
    );
}

#[test]
fn conditions_and_formats_go_together() {
    let format = ["--format", "${traffic-class} ${bytes}"];
    for (conditions, lines) in [
        (&[][..], "image-pull 15000\nlogs 300\napplication 120\n- -\n"),
        (&["--class", "logs"], "logs 300\n"),
        (&["--dst", "10.0.0.9"], "image-pull 15000\n"),
        (&["--port", "443", "--protocol", "tcp"], "logs 300\n"),
        (&["--task", "db"], "- -\n"),
        (&["--since", "1700000061"], "logs 300\n"),
        (&["--until", "2023-11-14T22:14:21Z"], "image-pull 15000\napplication 120\n- -\n"),
        (&["--action", "REJECT"], "application 120\n"),
        (&["--reason", "no-rule"], "application 120\n"),
        (&["--reason", "no-route"], ""),
    ] {
        assert_eq!(flows(&[conditions, &format].concat()), lines, "{conditions:?}");
    }
    let (code, _, stderr) = output(&["flows", "--format", "${bites}"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("did you mean `bytes`?"), "{stderr}");
}

#[test]
fn json_is_a_line_for_each_record() {
    let json = flows(&["-o", "json", "--class", "logs"]);
    assert_eq!(json.lines().count(), 1);
    for part in ["\"taskName\":\"web\"", "\"bytes\":300", "\"srcaddr\":\"10.0.0.4\""] {
        assert!(json.contains(part), "{json}");
    }
    assert!(flows(&["-o", "yaml", "--class", "logs"]).starts_with("---\n"));
}

#[test]
fn the_largest_groups_come_first() {
    assert_eq!(
        flows(&["--top", "1", "--group", "class"]),
        "CLASS       FLOWS  PACKETS   BYTES\n\
         image-pull      1       10  15,000\n\
         all             3       15  15,420\n"
    );
    let json = flows(&["--by", "flows", "--group", "port", "-o", "json"]);
    assert!(json.contains("\"groupBy\": \"port\""), "{json}");
    assert!(json.contains("\"key\": \"443/tcp\""), "{json}");
}

#[test]
fn a_bad_line_is_reported_and_the_others_are_read() {
    let folder = Folder::new();
    let file = folder.file("records.log", "bytes\n1\nx\n3\n");
    let (code, stdout, stderr) = output(&["flows", "--directory", &file, "--format", "${bytes}"]);
    assert_eq!((code, &*stdout), (1, "1\n3\n"));
    assert_eq!(stderr, format!("enictl: {file}: line 3: bytes \"x\" is not a count\n"));
    let (code, _, stderr) = output(&["flows", "--directory", "/nonexistent"]);
    assert_eq!(code, 1);
    assert_eq!(stderr, "enictl: can't read /nonexistent: No such file or directory (os error 2)\n");
}

/// A spool with two intervals of a task: the first one's flow is in two pieces.
fn spool() -> Folder {
    let folder = Folder::new();
    let id = |kind: &str| format!("{kind}-0123456789abcdef0");
    let interface = Arc::new(Interface {
        account_id: "unknown".parse().unwrap(),
        eni: id("eni").parse().unwrap(),
        task: "web".parse().ok(),
        vpc: id("vpc").parse().unwrap(),
        subnet: id("subnet").parse().unwrap(),
        region: "local".parse().unwrap(),
        zone: "zone-a".parse().unwrap(),
        ecs: EcsTask::default(),
        tags: Tags::default(),
        shown_tags: [None, None],
    });
    let traffic = |dst_port, bytes| {
        Observation::Traffic(Traffic {
            src: "10.0.0.4".parse().unwrap(),
            dst: "10.0.0.9".parse().unwrap(),
            src_port: 40_000,
            dst_port,
            protocol: 6,
            packets: 1,
            bytes,
            drop_reason: None,
            tcp_flags: 2,
            direction: Direction::Egress,
            traffic_path: None,
            class: TrafficClass::Application,
        })
    };
    let mut spool = Spool::open(&folder.0, SpoolOptions::default(), None).unwrap().0;
    let intervals = [[(443, 100, 5), (80, 10, 3), (443, 200, 7)], [(443, 1, 65), (443, 2, 66), (22, 3, 67)]];
    for (number, records) in (1..).zip(intervals) {
        let mut batch = spool.begin(number, number * 60 - 60, number * 60).unwrap();
        for (port, bytes, time) in records {
            batch
                .push(&FlowRecord::new(Arc::clone(&interface), time, time + 1, traffic(port, bytes)))
                .unwrap();
        }
        batch.commit(&[]).unwrap();
    }
    folder
}

#[test]
fn the_daemons_spool_is_read_an_interval_after_the_other() {
    let folder = spool();
    let daemon = Daemon::start(Answers {
        spool: v1::Spool { directory: folder.0.to_str().unwrap().to_owned(), ..v1::Spool::default() },
        ..Answers::default()
    });
    let format = ["--format", "${dstport} ${bytes} ${start} ${end}"];
    for (conditions, lines) in [
        (&[][..], "80 10 3 4\n443 300 5 8\n443 3 65 67\n22 3 67 68\n"),
        (&["--port", "443"], "443 300 5 8\n443 3 65 67\n"),
        (&["--since", "67"], "443 3 65 67\n22 3 67 68\n"),
        (&["--until", "5"], "80 10 3 4\n"),
        (&["--task", "db"], ""),
    ] {
        assert_eq!(daemon.stdout(&[&["flows"], conditions, &format].concat()), lines, "{conditions:?}");
    }
    let top = daemon.stdout(&["flows", "--top", "1", "--group", "port", "-o", "json"]);
    assert!(top.contains("\"key\": \"443/tcp\"") && top.contains("\"flows\": 4"), "{top}");
}

#[test]
fn following_filters_the_stream_and_says_what_was_missed() {
    let message = |record: &str, missed| FollowResponse {
        record: record.to_owned(),
        header: HEADER.to_owned(),
        missed,
    };
    let daemon = Daemon::start(Answers {
        followed: vec![message(PULL, 0), message(LOGS, 1_000)],
        ..Answers::default()
    });
    let (code, stdout, stderr) =
        daemon.output(&["flows", "--follow", "--class", "logs", "--format", "${bytes}"]);
    // A stream that ends was ended by the daemon.
    assert_eq!((code, &*stdout), (1, "300\n"));
    let said: Vec<_> = stderr.lines().collect();
    assert_eq!(said.len(), 2, "{stderr}");
    assert!(said[0].starts_with("enictl: missed 1,000 of the flow records, written faster"), "{stderr}");
    assert!(said[1].contains("the daemon ended the stream"), "{stderr}");
    assert_eq!(output(&["flows", "--follow", "--since", "10m"]).0, 2);
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let folder = Folder::new();
    let file = folder.file("records.log", &format!("bytes\n{}", "1\n".repeat(100_000)));
    let mut child = enictl(&["flows", "--directory", &file, "--format", "${bytes}"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let result = child.wait_with_output().unwrap();
    assert!(result.status.success());
    assert!(result.stderr.is_empty());
}
