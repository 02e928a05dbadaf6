//! nfcapd, a collector, and nfdump, which shows what it collected.

use std::path::Path;
use std::process::{Command, Stdio};

use enid_delivery::{Destination, Sink};
use enid_flowlog::{FlowRecord, Format};
use serde_json::Value;

use crate::process::{Process, free_udp_port, output, udp_queue, wait_for};
use crate::records::{START, Seen, flows, interface, no_data, parcel, skip_data};

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

    /// Ends it once it has read everything, and gives the flows that it collected and what it said.
    fn collected(self) -> (Vec<Seen>, String) {
        wait_for("nfcapd to read", || udp_queue(self.port) == Some(0));
        self.process.terminate();
        let log = std::fs::read_to_string(self.directory.path().join("log")).unwrap();
        let files = std::fs::read_dir(self.directory.path()).unwrap().map(|entry| entry.unwrap().path());
        let files = files.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("nfcapd."));
        let mut seen: Vec<_> = files.flat_map(|file| read(&file)).collect();
        seen.sort();
        (seen, log)
    }
}

/// The flows of a file, as `nfdump -o json` shows them.
fn read(file: &Path) -> Vec<Seen> {
    let text =
        output(Command::new("nfdump").arg("-q").arg("-r").arg(file).args(["-o", "json"]).env("TZ", "UTC"));
    if text.trim().is_empty() {
        return Vec::new();
    }
    let flows: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    flows.as_array().unwrap().iter().map(seen).collect()
}

fn seen(flow: &Value) -> Seen {
    let number = |key: &str| flow[key].as_u64().unwrap_or_else(|| panic!("{key} in {flow}"));
    let text = |key: &str| flow[key].as_str().unwrap_or_else(|| panic!("{key} in {flow}"));
    let address = |four: &str, six: &str| flow[four].as_str().unwrap_or_else(|| text(six)).parse().unwrap();
    let flags = text("tcp_flags").bytes().rev().zip(0..).filter(|(letter, _)| *letter != b'.');
    Seen {
        start: seconds(text("first")),
        end: seconds(text("last")),
        src: address("src4_addr", "src6_addr"),
        dst: address("dst4_addr", "dst6_addr"),
        src_port: number("src_port") as u16,
        dst_port: number("dst_port") as u16,
        protocol: number("proto") as u8,
        packets: number("in_packets"),
        bytes: number("in_bytes"),
        tcp_flags: flags.fold(0, |flags, (_, bit)| flags | 1 << bit),
        forwarding_status: number("fwd_status") as u8,
        is_egress: number("direction") == 1,
        interface: None,
    }
}

fn seconds(time: &str) -> u64 {
    panic!("{time}")
}

#[tokio::test]
async fn x() {
    let format = Format::default();
    let port = free_udp_port();
    let nfcapd = Nfcapd::start(port);
    let mut sink = sink(port);
    let records = flows(100, START);
    sink.deliver(&parcel(&records, &format, 0)).await.unwrap();
    let (seen, log) = nfcapd.collected();
    eprintln!("{log} {}", seen.len());
}

fn sink(port: u16) -> Sink {
    let destination: Destination = format!("ipfix+udp://127.0.0.1:{port}").parse().unwrap();
    Sink::to_collector(&destination).unwrap().unwrap()
}
