//! nfcapd, a collector, and nfdump, which shows what it collected.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use enid_delivery::{Destination, Sink};
use enid_flowlog::{FlowRecord, Format};
use serde_json::Value;

use crate::process::{Process, free_udp_port, output, udp_queue, wait_for};
use crate::records::{START, Seen, flows, interface, no_data, parcel};

/// nfcapd on a port, writing into a directory.
struct Nfcapd {
    process: Process,
    port: u16,
    directory: tempfile::TempDir,
}

impl Nfcapd {
    fn start(port: u16) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let log = std::fs::File::create(directory.path().join("log")).unwrap();
        let mut command = Command::new("nfcapd");
        command.args(["-b", "127.0.0.1", "-p", &port.to_string(), "-t", "3600", "-w"]).arg(directory.path());
        let process = Process::start(command.stdout(Stdio::null()).stderr(log));
        wait_for("nfcapd to listen", || udp_queue(port).is_some());
        Self { process, port, directory }
    }

    /// Ends it once it has read everything, and gives what it collected.
    fn collected(self) -> Collected {
        wait_for("nfcapd to read", || udp_queue(self.port) == Some(0));
        self.process.terminate();
        let log = std::fs::read_to_string(self.directory.path().join("log")).unwrap();
        let files = std::fs::read_dir(self.directory.path()).unwrap().map(|entry| entry.unwrap().path());
        let is_flows = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with("nfcapd.");
        let files: Vec<_> = files.filter(is_flows).collect();
        let mut flows: Vec<_> = files.iter().flat_map(|file| read(file)).collect();
        flows.sort();
        Collected { flows, sequence_failures: files.iter().map(|file| sequence_failures(file)).sum(), log }
    }
}

/// What nfcapd has collected.
struct Collected {
    flows: Vec<Seen>,
    sequence_failures: u64,
    log: String,
}

/// The flows of a file, as `nfdump -o json` shows them: one after the other, with commas between.
fn read(file: &Path) -> Vec<Seen> {
    let text =
        output(Command::new("nfdump").arg("-q").arg("-r").arg(file).args(["-o", "json"]).env("TZ", "UTC"));
    let text = format!("[{}]", text.trim().trim_start_matches('[').trim_end_matches([']', ',']));
    let flows: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    flows.as_array().unwrap().iter().map(seen).collect()
}

/// How often nfcapd found a gap in the sequences, as its file says.
fn sequence_failures(file: &Path) -> u64 {
    let text = output(Command::new("nfdump").arg("-I").arg("-r").arg(file));
    let failures = text.lines().find_map(|line| line.strip_prefix("Sequence failures: ")).unwrap();
    failures.trim().parse().unwrap()
}

fn seen(flow: &Value) -> Seen {
    let number = |key: &str| flow[key].as_u64().unwrap_or_else(|| panic!("{key} in {flow}"));
    let text = |key: &str| flow[key].as_str().unwrap_or_else(|| panic!("{key} in {flow}"));
    let address = |four: &str, six: &str| flow[four].as_str().unwrap_or_else(|| text(six)).parse().unwrap();
    let flags = flow["tcp_flags"]
        .as_str()
        .unwrap_or_default()
        .bytes()
        .rev()
        .zip(0..)
        .filter(|(letter, _)| *letter != b'.');
    Seen {
        start: seconds(text("first")),
        end: seconds(text("last")),
        src: address("src4_addr", "src6_addr"),
        dst: address("dst4_addr", "dst6_addr"),
        // Of ICMP it shows type and code instead, and no flags.
        src_port: flow["src_port"].as_u64().unwrap_or(0) as u16,
        dst_port: flow["dst_port"].as_u64().unwrap_or(0) as u16,
        protocol: number("proto") as u8,
        packets: number("in_packets"),
        bytes: number("in_bytes"),
        tcp_flags: flags.fold(0, |flags, (_, bit)| flags | 1 << bit),
        forwarding_status: None,
        is_egress: number("direction") == 1,
        interface: None,
        task: None,
    }
}

/// Unix seconds of a day in December 2014, as nfdump writes it: `2014-12-14T04:06:50.000`.
fn seconds(time: &str) -> u64 {
    let clock = time.strip_prefix("2014-12-14T").and_then(|clock| clock.strip_suffix(".000"));
    seconds_of_day(clock.unwrap_or_else(|| panic!("{time}")))
}

/// Unix seconds of a time of 14 December 2014: `04:06:50`.
pub(crate) fn seconds_of_day(clock: &str) -> u64 {
    clock.split(':').fold(0, |seconds, part| seconds * 60 + part.parse::<u64>().unwrap()) + 1_418_515_200
}

#[tokio::test]
async fn reads_every_flow_in_sequence() {
    let format = Format::default();
    let nfcapd = Nfcapd::start(free_udp_port());
    let mut sink = sink(nfcapd.port);
    let mut records = flows(4000, START);
    records.push(no_data(&interface(0)));
    // Each parcel continues the sequences of the one before, and fits the collector's socket.
    for (position, records) in (0..).zip(records.chunks(500)) {
        sink.deliver(&parcel(records, &format, position)).await.unwrap();
        wait_for("nfcapd to read", || udp_queue(nfcapd.port) == Some(0));
    }
    let collected = nfcapd.collected();
    assert_eq!(collected.flows, expected(&records));
    assert_eq!(collected.sequence_failures, 0);
    // One observation domain an ENI: the last eight digits of its id.
    for domain in [0x0000_0001, 0x0101_0102, 0x0202_0203] {
        assert!(collected.log.contains(&format!("Observation domain {domain} from")), "{}", collected.log);
    }
}

#[tokio::test]
async fn a_restarted_collector_gets_templates_and_what_it_missed() {
    let format = Format::default();
    let port = free_udp_port();
    let records = flows(1500, START);
    let parcels: Vec<_> = records.chunks(500).collect();
    let nfcapd = Nfcapd::start(port);
    let mut sink = sink(port);
    sink.deliver(&parcel(parcels[0], &format, 0)).await.unwrap();
    let before = nfcapd.collected();
    assert_eq!((before.flows, before.sequence_failures), (expected(parcels[0]), 0));

    // Nobody listens, which a host says of its own ports.
    let error = sink.deliver(&parcel(parcels[1], &format, 1)).await.unwrap_err();
    assert!(error.is_worth_repeating());
    assert_eq!(
        error.to_string(),
        format!("ipfix+udp://127.0.0.1:{port}: can't send: Connection refused (os error 111)")
    );

    let nfcapd = Nfcapd::start(port);
    sink.deliver(&parcel(parcels[1], &format, 1)).await.unwrap();
    wait_for("nfcapd to read", || udp_queue(port) == Some(0));
    sink.deliver(&parcel(parcels[2], &format, 2)).await.unwrap();
    let after = nfcapd.collected();
    assert_eq!((after.flows, after.sequence_failures), (expected(&records[500..]), 0));
}

/// What nfdump 1.7.1 shows of the records: it has no column for the interface, and leaves forwardingStatus out.
fn expected(records: &[FlowRecord]) -> Vec<Seen> {
    let strip = |seen| Seen { forwarding_status: None, interface: None, task: None, ..seen };
    let mut seen: Vec<_> = Seen::expected(records).into_iter().map(strip).collect();
    seen.sort();
    seen
}

fn sink(port: u16) -> Sink {
    let destination: Destination = format!("ipfix+udp://127.0.0.1:{port}").parse().unwrap();
    Sink::to_collector(&destination).unwrap().unwrap()
}
