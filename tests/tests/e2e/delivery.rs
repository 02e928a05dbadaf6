//! Records reach the destinations of flow logs: all of them, once, whatever happens on the way.

use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};

use enid_api::v1::create_flow_log_request::Target;
use enid_api::v1::{
    CreateFlowLogRequest, FlowLog, FlowLogDelivery, FlowLogFiles, GetFlowLogRequest, UpdateTaskRequest,
};
use enid_flowlog::{Direction, Field, Fields, Filter, Query, Scan, Value, no_progress};
use enid_testbed::traffic::{send_datagrams, udp};
use enid_testbed::{DEADLINE, DaemonKind, Host, HostOptions, wait_until};

use crate::ledger::{assert_closed, flush, records, to_port, total};
use crate::networks::{host_as, inside, ipv4};

/// A destination of this host, in a folder of its own.
fn destination(host: &Host, name: &str) -> PathBuf {
    host.state_directory().join("out").join(name)
}

pub(crate) fn create(host: &Host, name: &str, change: impl FnOnce(&mut CreateFlowLogRequest)) -> FlowLog {
    let mut request = CreateFlowLogRequest {
        name: name.to_owned(),
        target: Some(Target::Vpc("red".into())),
        destination: destination(host, name).display().to_string(),
        interval_seconds: Some(60),
        ..CreateFlowLogRequest::default()
    };
    change(&mut request);
    host.call(async |client| client.flow_logs().create(request.clone()).await).unwrap()
}

pub(crate) fn delivery(host: &Host, name: &str) -> FlowLogDelivery {
    let request = GetFlowLogRequest { flow_log: name.to_owned() };
    let found = host.call(async |client| client.flow_logs().get(request.clone()).await).unwrap();
    found.delivery.unwrap_or_default()
}

/// Every record of the files below a folder: the numbers of these fields, 0 where there is none.
pub(crate) fn delivered<const N: usize>(folder: &Path, filter: Filter, fields: [Field; N]) -> Vec<[u64; N]> {
    let query = Query { filter, fields: Some(fields.to_vec()), ..Query::default() };
    let mut scan = Scan::of_path(folder, query).unwrap();
    let mut rows = Vec::new();
    scan.for_each(&no_progress, |record| {
        let record = record.unwrap_or_else(|error| panic!("{error}"));
        rows.push(fields.map(|field| match record.value(field) {
            Some(Value::Number(number)) => number,
            _ => 0,
        }));
        std::ops::ControlFlow::Continue(())
    });
    rows
}

pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files
}

/// Two tasks, and `send` sends so many datagrams of 100 bytes, each from another port, from the first to port 5001 of the
/// second.
pub(crate) struct Pair {
    pub(crate) a: enid_api::v1::Task,
    pub(crate) b: enid_api::v1::Task,
    far: UdpSocket,
}

impl Pair {
    pub(crate) fn new(host: &Host) -> Self {
        let (a, b) = (host.create("a", "red/a"), host.create("b", "red/b"));
        let far = udp(&inside(&b), ipv4(&b), 5001);
        Self { a, b, far }
    }

    pub(crate) fn send(&self, flows: usize) {
        for _ in 0..flows {
            send_datagrams(&udp(&inside(&self.a), ipv4(&self.a), 0), &self.far, 1, 72);
        }
    }
}

#[test]
fn the_default_is_text_of_version_2() {
    let host = host_as(&HostOptions::default());
    create(&host, "all", |_| {});
    let pair = Pair::new(&host);
    pair.send(1);
    flush(&host);
    let files = files(&destination(&host, "all"));
    assert_eq!(files.len(), 1, "{files:?}");
    let key = files[0].strip_prefix(destination(&host, "all")).unwrap().to_str().unwrap();
    assert!(key.starts_with("AWSLogs/unknown/vpcflowlogs/local/20"), "{key}");
    assert!(key.ends_with(".log.gz"), "{key}");
    let text = std::process::Command::new("zcat").arg(&files[0]).output().unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    let mut lines = text.lines();
    let header = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status";
    assert_eq!(lines.next(), Some(header));
    let eni = pair.a.eni.as_ref().unwrap();
    let wanted = format!("2 unknown {} {} {} ", eni.id, ipv4(&pair.a), ipv4(&pair.b));
    let line = text.lines().find(|line| line.starts_with(&wanted)).unwrap_or_else(|| panic!("{text}"));
    assert!(line.contains(" 5001 17 1 100 ") && line.ends_with(" ACCEPT OK"), "{line}");
    assert_eq!(lines.count(), 2, "{text}");
}

#[test]
fn what_is_wanted_is_delivered_as_it_is_wanted() {
    let host = host_as(&HostOptions::default());
    let format = "${task-name} ${ecs-task-id} ${interface-tag} ${flow-direction} ${next-hop-interface-id} ${bytes} ${end}";
    create(&host, "parquet", |request| {
        request.format = Some(format.to_owned());
        request.interface_tags = vec!["Name".to_owned()];
        request.files =
            Some(FlowLogFiles { format: "parquet".into(), hive_partitions: true, hourly_partitions: true });
    });
    create(&host, "rejected", |request| request.traffic = Some("REJECT".to_owned()));
    let pair = Pair::new(&host);
    let update = UpdateTaskRequest {
        name: "a".to_owned(),
        ecs: Some(enid_api::v1::EcsTask { task_id: Some("0b69".to_owned()), ..Default::default() }),
        tags: [("Name".to_owned(), "web 1".to_owned())].into(),
        ..UpdateTaskRequest::default()
    };
    host.call(async |client| client.tasks().update(update.clone()).await).unwrap();
    let of_task = create(&host, "task", |request| request.target = Some(Target::Task("b".into())));
    pair.send(3);
    flush(&host);
    let parquet = destination(&host, "parquet");
    let found = files(&parquet);
    assert_eq!(found.len(), 1, "{found:?}");
    let path = found[0].to_str().unwrap();
    assert!(path.contains("/aws-service=vpcflowlogs/aws-region=local/year=20"), "{path}");
    assert!(path.contains("/hour=") && path.ends_with(".log.parquet"), "{path}");
    let mut texts = Vec::new();
    let mut scan = Scan::of_path(&parquet, Query::default()).unwrap();
    scan.for_each(&no_progress, |record| {
        let record = record.unwrap();
        let text = |field| record.value(field).map_or_else(|| "-".to_owned(), |value| value.to_string());
        texts.push(
            [Field::TaskName, Field::EcsTaskId, Field::InterfaceTag, Field::NextHopInterfaceId].map(text),
        );
        std::ops::ControlFlow::Continue(())
    });
    let id = |task: &enid_api::v1::Task| task.eni.as_ref().unwrap().id.clone();
    let a = ["a".to_owned(), "0b69".to_owned(), "web%201".to_owned(), id(&pair.b)];
    let b = ["b".to_owned(), "-".to_owned(), "-".to_owned(), id(&pair.a)];
    assert_eq!(texts.iter().filter(|row| **row == a).count(), 3, "{texts:?}");
    assert_eq!(texts.iter().filter(|row| **row == b).count(), 3, "{texts:?}");
    assert_eq!(files(&destination(&host, "rejected")), [] as [PathBuf; 0]);
    // What is of one task goes with it, after its last records.
    pair.send(2);
    host.delete("b");
    let gone = || {
        let request = GetFlowLogRequest { flow_log: of_task.id.clone() };
        host.call(async |client| client.flow_logs().get(request.clone()).await).is_err()
    };
    assert!(wait_until(DEADLINE, gone));
    let last = || {
        let rows = delivered(&destination(&host, "task"), Filter::default(), [Field::Bytes]);
        rows.iter().map(|[bytes]| bytes).sum::<u64>() == 500
    };
    assert!(wait_until(DEADLINE, last));
}

/// The daemon is killed and the destination is away: each record is delivered in the end, and none twice.
#[test]
fn kills_and_outages_lose_nothing_and_double_nothing() {
    let mut host = host_as(&HostOptions { daemon: DaemonKind::Process, ..HostOptions::default() });
    create(&host, "all", |_| {});
    let pair = Pair::new(&host);
    let out = destination(&host, "all");
    let aside = host.state_directory().join("aside");
    let mut sent = 0;
    for round in 0..4 {
        pair.send(5);
        sent += 5;
        if round % 2 == 1 {
            // A file is where the folder was.
            fs::rename(&out, &aside).unwrap();
            fs::write(&out, "").unwrap();
        }
        flush(&host);
        if round % 2 == 1 {
            assert!(delivery(&host, "all").problem.unwrap_or_default().contains("can't"));
        }
        host.kill_daemon();
        pair.send(5);
        sent += 5;
        if round % 2 == 1 {
            fs::remove_file(&out).unwrap();
            fs::rename(&aside, &out).unwrap();
        }
        host.start_daemon();
    }
    flush(&host);
    assert!(wait_until(DEADLINE, || delivery(&host, "all").problem.is_none()));
    // Now that it takes records, whatever is left is waited for.
    flush(&host);
    assert_closed(&host);
    assert_eq!(total(&records(&host), "a", Direction::Egress, to_port(17, 5001)), (sent, sent * 100));
    let of_a = Filter { src: ipv4(&pair.a).to_string().parse().ok(), ..Filter::default() };
    let rows = delivered(&out, of_a, [Field::DstPort, Field::Packets, Field::Bytes]);
    let sum = |place: usize| rows.iter().filter(|row| row[0] == 5001).map(|row| row[place]).sum::<u64>();
    assert_eq!((sum(1), sum(2)), (2 * sent, 2 * sent * 100), "at both ENIs");
}

/// A destination is away for longer than the spool has room: what is given up is stated, to the packet.
#[test]
fn what_is_given_up_is_stated() {
    let host = host_as(&HostOptions { spool_bytes: 64 << 10, ..HostOptions::default() });
    create(&host, "all", |request| {
        request.format = Some(
            "${dstport} ${packets} ${bytes} ${packets-dropped} ${bytes-dropped} ${records-dropped} ${end}"
                .to_owned(),
        );
    });
    let pair = Pair::new(&host);
    let out = destination(&host, "all");
    fs::remove_dir_all(&out).unwrap();
    fs::write(&out, "").unwrap();
    let mut sent = 0;
    while delivery(&host, "all").records_lost == 0 {
        pair.send(40);
        sent += 40;
        flush(&host);
        assert!(sent < 4_000, "the spool should be full");
    }
    fs::remove_file(&out).unwrap();
    pair.send(1);
    sent += 1;
    flush(&host);
    assert!(wait_until(DEADLINE, || delivery(&host, "all").problem.is_none()));
    // Now that it takes records, whatever is left is waited for.
    flush(&host);
    let fields =
        [Field::Packets, Field::Bytes, Field::PacketsDropped, Field::BytesDropped, Field::RecordsDropped];
    let rows = delivered(&out, Filter::default(), fields);
    let sum = |place: usize| rows.iter().map(|row| row[place]).sum::<u64>();
    assert!(sum(2) > 0);
    assert_eq!((sum(0) + sum(2), sum(1) + sum(3)), (2 * sent, 2 * sent * 100));
    // Ports of two datagrams may have been the same.
    assert!(sum(4) > 0 && sum(4) <= sum(2));
    let FlowLogDelivery { records_lost, packets_lost, bytes_lost, .. } = delivery(&host, "all");
    assert_eq!((records_lost, packets_lost, bytes_lost), (sum(4), sum(2), sum(3)));
    assert_closed(&host);
}
