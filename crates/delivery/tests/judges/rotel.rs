//! rotel, an OpenTelemetry collector: it takes log records, and passes them on as it has understood them.

use std::process::{Command, Stdio};

use enid_flowlog::Format;

use crate::http::Collector;
use crate::otlp::{assert_all, records};
use crate::process::{Process, free_tcp_port, is_listening, python_packages, wait_for};
use crate::records::parcel;
use crate::socket::sink;

/// rotel on a port, passing on to the collector.
fn start(port: u16, collector: &Collector) -> Process {
    let mut command = Command::new(python_packages().join("rotel/rotel-agent"));
    command.args(["start", "--otlp-http-endpoint", &format!("127.0.0.1:{port}")]);
    command.args(["--otlp-grpc-endpoint", &format!("127.0.0.1:{}", free_tcp_port())]);
    command.args(["--exporter", "otlp", "--otlp-exporter-protocol", "http"]);
    command.args(["--otlp-exporter-endpoint", &format!("http://127.0.0.1:{}", collector.port)]);
    let process = Process::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
    wait_for("rotel to listen", || is_listening(port));
    process
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn understands_every_field_before_and_after_a_restart() {
    let collector = Collector::start().await;
    let port = free_tcp_port();
    let mut sink = sink("otlp+http", port);
    let format = Format::complete();
    let records = records(2000);
    let (first, second) = records.split_at(500);

    let rotel = start(port, &collector);
    sink.deliver(&parcel(first, &format, 1)).await.unwrap();
    wait_for("rotel to pass on", || collector.logs().len() == first.len());
    rotel.terminate();
    assert!(sink.deliver(&parcel(second, &format, 2)).await.unwrap_err().is_worth_repeating());

    let rotel = start(port, &collector);
    sink.deliver(&parcel(second, &format, 2)).await.unwrap();
    wait_for("rotel to pass on", || collector.logs().len() == records.len());
    rotel.terminate();
    assert_all(&records, collector.logs());
}
