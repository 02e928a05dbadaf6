//! `enictl flows` over every place that records are in: the answers are the same.

use std::sync::Arc;

use enid_api::v1;
use enid_flowlog::{
    Direction, DropReason, FileKind, FileSeries, FlowRecord, Format, Interface, Layout, Observation, Traffic,
    encode_records,
};
use enid_model::{EcsTask, Tags, TrafficClass};
use enid_spool::{Spool, SpoolOptions};

use crate::bucket::Bucket;
use crate::daemon::{Answers, Daemon};
use crate::{Folder, enictl, output, read};

/// The beginning of a 5-minute slot: 2023-11-14 22:15:00.
const SLOT: u64 = 1_700_000_100;

fn interface(task: &str, eni: &str) -> Arc<Interface> {
    Arc::new(Interface {
        account_id: "123456789012".parse().unwrap(),
        eni: eni.parse().unwrap(),
        task: task.parse().ok(),
        vpc: "vpc-0123456789abcdef0".parse().unwrap(),
        subnet: "subnet-0123456789abcdef0".parse().unwrap(),
        region: "local".parse().unwrap(),
        zone: "zone-a".parse().unwrap(),
        ecs: EcsTask::default(),
        tags: Tags::default(),
        shown_tags: [None, None],
    })
}

/// Two intervals of two tasks: traffic of both directions and families, refused, and none.
fn intervals() -> [Vec<FlowRecord>; 2] {
    let web = interface("web", "eni-0123456789abcdef0");
    let db = interface("db", "eni-0fedcba9876543210");
    let flow = |src: &str, dst: &str, ports: (u16, u16), direction, class, bytes| Traffic {
        src: src.parse().unwrap(),
        dst: dst.parse().unwrap(),
        src_port: ports.0,
        dst_port: ports.1,
        protocol: 6,
        packets: bytes / 100,
        bytes,
        drop_reason: None,
        tcp_flags: 2,
        direction,
        traffic_path: None,
        class,
    };
    let (out, into) = (Direction::Egress, Direction::Ingress);
    let pull = flow("10.0.0.4", "192.0.2.9", (40_000, 443), out, TrafficClass::ImagePull, 15_000);
    let query = flow("fd00::4", "fd00::9", (40_001, 5432), out, TrafficClass::Application, 700);
    let answer = flow("10.0.0.9", "10.0.0.5", (53, 40_002), into, TrafficClass::Application, 900);
    let answer = Traffic { protocol: 17, tcp_flags: 0, ..answer };
    let probe = flow("198.51.100.7", "10.0.0.4", (50_000, 22), into, TrafficClass::Application, 100);
    let probe = Traffic { drop_reason: Some(DropReason::NoRule), ..probe };
    let record = |interface: &Arc<Interface>, start, end, traffic: Option<Traffic>| {
        let observation = traffic.map_or(Observation::NoData, Observation::Traffic);
        FlowRecord::new(Arc::clone(interface), SLOT + start, SLOT + end, observation)
    };
    let mut pulled = record(&web, 0, 30, Some(pull));
    pulled.dst_service = Some("S3".into());
    [
        vec![pulled, record(&web, 5, 20, Some(query)), record(&db, 10, 59, None)],
        vec![
            record(&web, 300, 301, Some(probe)),
            record(&web, 310, 350, Some(Traffic { bytes: 4_000, ..query })),
            record(&db, 320, 330, Some(answer)),
        ],
    ]
}

/// The records as a daemon's spool, and as files of every kind in a folder each, those of Parquet as a bucket too.
struct Places {
    daemon: Daemon,
    bucket: Bucket,
    folders: Vec<(String, Folder)>,
    _spool: Folder,
}

impl Places {
    fn new() -> Self {
        let spool_folder = Folder::new();
        let mut spool = Spool::open(&spool_folder.0, SpoolOptions::default(), None).unwrap().0;
        for (number, records) in (1..).zip(intervals()) {
            let began = SLOT + (number - 1) * 300;
            let mut batch = spool.begin(number, began, began + 60).unwrap();
            for record in &records {
                batch.push(record).unwrap();
            }
            batch.commit(&[]).unwrap();
        }
        let folders: Vec<_> = FileKind::ALL.iter().map(|kind| (format!("{kind:?}"), files(*kind))).collect();
        let directory = spool_folder.0.to_str().unwrap().to_owned();
        let daemon = Daemon::start(Answers {
            spool: v1::Spool { directory, ..v1::Spool::default() },
            ..Answers::default()
        });
        let parquet = &folders.last().unwrap().1;
        Self { daemon, bucket: Bucket::serve(&parquet.0), folders, _spool: spool_folder }
    }

    /// What `--from` takes for each place of files.
    fn sources(&self) -> Vec<String> {
        let folders = self.folders.iter().map(|(_, folder)| folder.0.to_str().unwrap().to_owned());
        let url = format!("file://{}", self.folders[0].1.0.display());
        folders.chain([url, self.bucket.url("logs/")]).collect()
    }
}

/// The files that a host delivers, below a folder `logs`.
fn files(kind: FileKind) -> Folder {
    let folder = Folder::new();
    let series = FileSeries {
        account: "123456789012".parse().unwrap(),
        region: "local".parse().unwrap(),
        id: "fl-0123456789abcdef0".parse().unwrap(),
        writer: "host-1".to_owned(),
        kind,
        layout: Layout {
            hive_partitions: kind == FileKind::Parquet,
            hourly_partitions: kind == FileKind::Gzip,
        },
    };
    let records = intervals().concat();
    for file in series.files(&Format::complete(), &records, 1).unwrap() {
        let path = folder.0.join("logs").join(&file.key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, file.bytes).unwrap();
    }
    folder
}

/// Runs `enictl flows`, with credentials of a bucket that asks for none.
fn flows_from(source: &str, arguments: &[&str]) -> (i32, String, String) {
    let mut command = enictl(&[&["flows", "--from", source], arguments].concat());
    command.env("AWS_ACCESS_KEY_ID", "id").env("AWS_SECRET_ACCESS_KEY", "secret");
    read(&command.output().unwrap())
}

#[test]
fn every_condition_finds_the_same_records_everywhere() {
    let places = Places::new();
    for (conditions, count) in [
        (&[][..], 6),
        (&["--since", "2023-11-14T22:16:00Z"], 3),
        (&["--until", "2023-11-14T22:16:00Z"], 3),
        (&["--since", "1700000121", "--until", "1700000402"], 3),
        (&["--task", "db"], 2),
        (&["--eni", "eni-0fedcba9876543210"], 2),
        (&["--class", "image-pull"], 1),
        (&["--src", "10.0.0.0/8"], 2),
        (&["--dst", "10.0.0.4"], 1),
        (&["--peer", "fd00::/16"], 2),
        (&["--peer", "198.51.100.0/24"], 1),
        (&["--peer", "10.0.0.4"], 0),
        (&["--port", "5432"], 2),
        (&["--protocol", "udp"], 1),
        (&["--action", "reject"], 1),
        (&["--reason", "no-rule"], 1),
        (&["--direction", "ingress", "--task", "web"], 1),
        (&["--reason", "no-route"], 0),
    ] {
        for shape in [
            &["--format", "${start} ${srcaddr} ${tcp-flags}"][..],
            &[],
            &["-o", "json"],
            &["-o", "yaml"],
            &["-o", "csv"],
        ] {
            let arguments = [conditions, shape].concat();
            let spooled = places.daemon.stdout(&[&["flows"], &*arguments].concat());
            if shape.first() == Some(&"--format") {
                assert_eq!(spooled.lines().count(), count, "{conditions:?}: {spooled}");
            }
            for source in places.sources() {
                let (code, stdout, stderr) = flows_from(&source, &arguments);
                assert_eq!((code, &*stdout, &*stderr), (0, &*spooled, ""), "{source} {arguments:?}");
            }
        }
    }
}

#[test]
fn groups_and_histograms_are_the_same_everywhere() {
    let places = Places::new();
    for (arguments, said) in [
        (
            &["--top", "2", "--by", "bytes", "--group", "task", "-o", "csv"][..],
            "task,flows,packets,bytes\nweb,4,",
        ),
        (&["--top", "9", "--by", "packets", "--group", "peer"], "192.0.2.9 "),
        (&["--top", "1", "--by", "flows", "--group", "port"], "5432/tcp "),
        (&["--group", "class", "-o", "json"], "\"key\": \"image-pull\""),
        (&["--group", "service", "-o", "yaml"], "key: S3"),
        (&["--group", "eni", "--task", "db"], "eni-0fedcba9876543210 "),
        (&["--histogram", "1m"], "2023-11-14 22:15:00  15,700  ███"),
        (&["--histogram", "10s", "--by", "packets", "--task", "web"], "2023-11-14 22:16:00        0\n"),
        (&["--histogram", "1h", "-o", "csv"], "start,flows,packets,bytes\n1699999200,5,"),
        (&["--histogram", "5m", "-o", "json"], "\"width\": 300"),
    ] {
        let spooled = places.daemon.stdout(&[&["flows"], arguments].concat());
        assert!(spooled.contains(said), "{arguments:?}: {spooled}");
        for source in places.sources() {
            let (code, stdout, stderr) = flows_from(&source, arguments);
            assert_eq!((code, &*stdout, &*stderr), (0, &*spooled, ""), "{source} {arguments:?}");
        }
    }
}

#[test]
fn objects_of_another_time_are_not_read() {
    let places = Places::new();
    let url = places.bucket.url("");
    let (code, stdout, _) = flows_from(&url, &["--until", "1700000400", "--format", "${start}"]);
    assert_eq!((code, stdout.lines().count()), (0, 3));
    let read = places.bucket.take_read();
    assert!(matches!(&*read, [one] if one.contains("_20231114T2215Z_")), "{read:?}");
    assert_eq!(
        flows_from(&places.bucket.url("nothing"), &["--format", "${start}"]),
        (0, String::new(), String::new())
    );
}

#[test]
fn bars_fit_the_width_that_is_told() {
    let places = Places::new();
    let mut command = places.daemon.enictl(&["flows", "--histogram", "5m"]);
    let (_, stdout, _) = read(&command.env("COLUMNS", "50").output().unwrap());
    assert_eq!(
        stdout,
        "TIME (UTC)            BYTES\n\
         2023-11-14 22:15:00  15,700  █████████████████████\n\
         2023-11-14 22:20:00   5,000  ██████▋\n"
    );
}

#[test]
fn csv_has_the_fields_that_are_named() {
    let places = Places::new();
    let arguments = ["-o", "csv", "--task", "db", "--format", "${task-name} ${srcaddr} ${log-status}"];
    let (_, stdout, _) = flows_from(&places.sources()[0], &arguments);
    assert_eq!(stdout, "task-name,srcaddr,log-status\ndb,,NODATA\ndb,10.0.0.9,OK\n");
    let (_, stdout, _) = flows_from(&places.sources()[1], &["-o", "csv", "--reason", "router"]);
    assert_eq!(stdout, format!("{}\n", Format::complete().header().replace(' ', ",")));
}

#[test]
fn what_can_not_be_read_is_named_and_the_rest_is_read() {
    let folder = files(FileKind::Parquet);
    let name = "123456789012_vpcflowlogs_local_fl-0123456789abcdef0_20231114T2215Z_0000000";
    let bytes = encode_records(FileKind::Parquet, &Format::complete(), &intervals().concat()).unwrap();
    let torn = folder.0.join(format!("{name}1.log.parquet"));
    std::fs::write(&torn, &bytes[..bytes.len() - 1]).unwrap();
    let plain = folder.file(&format!("{name}2.log"), &format!("{}\n", Format::default().header()));
    let source = folder.0.to_str().unwrap();
    for arguments in [
        &["--class", "image-pull", "--format", "${bytes}"][..],
        &["--class", "image-pull", "--group", "class"],
        &["--class", "image-pull", "--histogram", "1m"],
    ] {
        let (code, stdout, stderr) = flows_from(source, arguments);
        assert_eq!(code, 1);
        assert!(stdout.contains("15000") || stdout.contains("15,000"), "{stdout}");
        let mut said: Vec<_> = stderr.lines().collect();
        said.sort_unstable();
        assert_eq!(
            said,
            [
                format!(
                    "enictl: {}: the file does not end as Parquet does: it is not, or is cut off",
                    torn.display()
                ),
                format!(
                    "enictl: {plain}: the file does not hold the field `traffic-class` that --class needs"
                ),
            ]
        );
    }
    let (code, _, stderr) = flows_from(source, &["--top", "1", "--group", "task", "--until", "1700000400"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("the field `task-name` that --group task needs"), "{stderr}");
}

#[test]
fn places_that_are_none_are_one_sentence() {
    let (code, stdout, stderr) = flows_from("/nonexistent", &["--histogram", "1m"]);
    assert_eq!((code, &*stdout), (1, ""));
    assert_eq!(stderr, "enictl: can't read /nonexistent: No such file or directory (os error 2)\n");
    // A port of loopback that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (code, _, stderr) = flows_from(&format!("s3://flows?endpoint=http://127.0.0.1:{port}"), &[]);
    assert_eq!((code, stderr.lines().count()), (1, 1), "{stderr}");
    assert!(stderr.starts_with("enictl: can't list s3://flows"), "{stderr}");
    for (arguments, said) in [
        (&["--from", "s3://UPPER"][..], "a bucket's name is"),
        (&["--from", "otlp+http://127.0.0.1:4318"], "not from a collector"),
        (&["--histogram", "0s"], "at least a second"),
        (&["--histogram", "1w"], "expected a length of time"),
        (&["--histogram", "1m", "--top", "3"], "cannot be used with"),
        (&["--histogram", "1m", "--follow"], "cannot be used with"),
    ] {
        let (code, _, stderr) = output(&[&["flows"], arguments].concat());
        assert_eq!(code, 2, "{arguments:?}");
        assert!(stderr.contains(said), "{stderr}");
    }
}
