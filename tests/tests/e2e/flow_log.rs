//! Flow logs: their files, their formats, and records as they come.

use std::fs;
use std::path::PathBuf;

use enid_api::v1::{FollowRequest, GetRecordDirectoriesRequest, RecordDirectories};
use enid_flowlog::{FileName, Filter, LineParser, ParsedRecord, read};
use enid_testbed::traffic::{send_datagrams, udp};
use enid_testbed::{DEADLINE, Host, HostOptions, wait_until};

use crate::ledger::{flush, to_port};
use crate::networks::{host, host_as, inside, ipv4};

const HEADER: &str = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status";

fn flow_log(host: &Host) -> RecordDirectories {
    host.call(async |client| client.flows().get_record_directories(GetRecordDirectoriesRequest {}).await)
        .unwrap()
}

/// The files of the flow log.
fn files(host: &Host) -> Vec<PathBuf> {
    let entries = fs::read_dir(flow_log(host).log_directory).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// Has two new tasks exchange 3 datagrams of 100 bytes over IPv4, to port 5001.
fn exchange(host: &Host) -> (String, String) {
    let (a, b) = (host.create("a", "red/a"), host.create("b", "red/b"));
    send_datagrams(&udp(&inside(&a), ipv4(&a), 5000), &udp(&inside(&b), ipv4(&b), 5001), 3, 72);
    (a.eni.unwrap().id, b.eni.unwrap().id)
}

#[test]
fn the_default_is_version_2() {
    let host = host();
    let (a, _) = exchange(&host);
    flush(&host);
    let files = files(&host);
    assert_eq!(files.len(), 1, "{files:?}");
    let name = FileName::parse(files[0].file_name().unwrap().to_str().unwrap()).expect("a flow log's name");
    assert_eq!((name.account().as_str(), name.region().as_str()), ("unknown", "local"));
    let text = fs::read_to_string(&files[0]).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some(HEADER));
    let wanted = format!("2 unknown {a} 10.0.0.4 10.0.1.4 5000 5001 17 3 300 ");
    let line = text.lines().find(|line| line.starts_with(&wanted)).unwrap_or_else(|| panic!("{text}"));
    let rest: Vec<&str> = line[wanted.len()..].split(' ').collect();
    let [start, end, "ACCEPT", "OK"] = rest[..] else { panic!("{line}") };
    assert!(start.parse::<u64>().unwrap() <= end.parse::<u64>().unwrap());
    assert!(lines.all(|line| line.split(' ').count() == 14), "{text}");
    let records: Vec<ParsedRecord> =
        read(&files[0], &Filter::default()).unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(records.len(), 2);
}

#[test]
fn a_format_picks_fields() {
    let format = "${task-name} ${traffic-class} ${flow-direction} ${srcaddr} ${bytes} ${tcp-flags}";
    let host = host_as(&HostOptions { format: Some(format.to_owned()), ..Default::default() });
    exchange(&host);
    flush(&host);
    assert_eq!(flow_log(&host).format, format);
    let text = fs::read_to_string(&files(&host)[0]).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.remove(0), "task-name traffic-class flow-direction srcaddr bytes tcp-flags");
    lines.sort_unstable();
    assert_eq!(lines, ["a application egress 10.0.0.4 300 0", "b application ingress 10.0.0.4 300 0"]);
}

#[test]
fn an_interval_ends_by_itself() {
    let host = host_as(&HostOptions { interval_seconds: 1, ..Default::default() });
    exchange(&host);
    assert_eq!(flow_log(&host).aggregation_interval_seconds, 1);
    let written = || {
        let of = to_port(17, 5001);
        let records = crate::ledger::records(&host);
        records.iter().filter(|record| of(record)).filter_map(|record| record.packets).sum::<u64>() == 6
    };
    assert!(wait_until(DEADLINE, written));
}

#[test]
fn a_follower_gets_each_record_as_it_is_written() {
    let host = host();
    let lines: Vec<(String, String)> = host
        .call(async |client| {
            let mut stream = client.flows().follow(FollowRequest {}).await?.into_inner();
            // The answer's head is here: the daemon has the follower on its list.
            tokio::task::block_in_place(|| {
                exchange_beside(&host);
            });
            let mut lines = Vec::new();
            while lines.len() < 2 {
                let message = stream.message().await?.expect("a record");
                assert_eq!(message.missed, 0);
                lines.push((message.header, message.record));
            }
            Ok(tonic::Response::new(lines))
        })
        .unwrap();
    let of = to_port(17, 5001);
    for (header, line) in lines {
        let format = enid_flowlog::Format::from_header(&header).unwrap();
        let record = LineParser::new(format).parse(&line).unwrap();
        assert!(of(&record), "{line}");
        assert_eq!(record.bytes, Some(300));
    }
}

/// The same from inside a request: on a thread that has no runtime.
fn exchange_beside(host: &Host) {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            exchange(host);
            flush(host);
        });
    });
}
