//! OTLP as the messages of OpenTelemetry's own crate read it, and how a collector's answers are taken.

use std::collections::BTreeMap;
use std::time::Duration;

use enid_delivery::{DeliveryError, Sink};
use enid_flowlog::{FlowRecord, Format};
use enid_model::Protocol;
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

use crate::http::Collector;
use crate::process::free_tcp_port;
use crate::records::{START, flow, flows, interface, no_data, parcel, skip_data};
use crate::socket::sink;

async fn deliver(sink: &mut Sink, records: &[FlowRecord], position: u64) -> Result<(), DeliveryError> {
    sink.deliver(&parcel(records, &Format::complete(), position)).await
}

/// Attributes as text, by name.
fn attributes(list: &[KeyValue]) -> BTreeMap<&str, String> {
    let shown = list.iter().map(|pair| {
        let value = match pair.value.as_ref().unwrap().value.as_ref().unwrap() {
            Value::StringValue(text) => format!("{text:?}"),
            Value::IntValue(number) => number.to_string(),
            other => panic!("{other:?}"),
        };
        (pair.key.as_str(), value)
    });
    let map: BTreeMap<_, _> = shown.collect();
    assert_eq!(map.len(), list.len(), "no name twice");
    map
}

/// What a record's log record has, by the names of the collector's own reader.
fn expected_attributes(record: &FlowRecord) -> BTreeMap<&'static str, String> {
    let text = |text: &dyn std::fmt::Display| format!("\"{text}\"");
    let mut expected = BTreeMap::from([
        ("aws.vpc.flow.log.version", "11".to_owned()),
        ("aws.vpc.flow.start", record.start.to_string()),
        ("aws.vpc.flow.status", text(&record.log_status())),
    ]);
    if let Some(loss) = record.loss() {
        expected.insert("enid.packets_dropped", loss.packets.to_string());
        expected.insert("enid.bytes_dropped", loss.bytes.to_string());
        expected.insert("enid.records_dropped", loss.records.to_string());
    }
    let Some(traffic) = record.traffic() else { return expected };
    let direction = if traffic.direction.as_str() == "ingress" { "receive" } else { "transmit" };
    expected.extend([
        ("source.address", text(&traffic.src)),
        ("destination.address", text(&traffic.dst)),
        ("source.port", traffic.src_port.to_string()),
        ("destination.port", traffic.dst_port.to_string()),
        ("network.protocol.name", text(&Protocol::Number(traffic.protocol))),
        ("aws.vpc.flow.protocol", traffic.protocol.to_string()),
        ("network.type", text(&if traffic.src.is_ipv4() { "ipv4" } else { "ipv6" })),
        ("network.io.direction", text(&direction)),
        ("network.tcp.flags", text(&traffic.tcp_flags)),
        ("aws.vpc.flow.packets", traffic.packets.to_string()),
        ("aws.vpc.flow.bytes", traffic.bytes.to_string()),
        ("aws.vpc.flow.action", text(&traffic.action())),
        ("enid.traffic_class", text(&"application")),
    ]);
    if let Some(path) = traffic.traffic_path {
        expected.insert("aws.vpc.flow.traffic_path", text(&path));
    }
    if let Some(reason) = traffic.drop_reason {
        expected.insert("enid.drop_reason", text(&reason));
    }
    expected
}

/// That a log record says what the flow record does.
fn assert_same(record: &FlowRecord, resource: &Resource, log: &LogRecord) {
    let mut line = String::new();
    Format::complete().render(record, &mut line);
    let body = log.body.as_ref().unwrap().value.as_ref().unwrap();
    assert_eq!(*body, Value::StringValue(line));
    assert_eq!(log.time_unix_nano, record.end * 1_000_000_000);
    assert!(log.observed_time_unix_nano > log.time_unix_nano);
    assert_eq!(attributes(&log.attributes), expected_attributes(record));
    let interface = &record.interface;
    let mut expected = BTreeMap::from([
        ("cloud.provider", "\"aws\"".to_owned()),
        ("cloud.account.id", "\"123456789010\"".to_owned()),
        ("cloud.region", "\"ap-southeast-2\"".to_owned()),
        ("cloud.availability_zone", "\"apse2-az3\"".to_owned()),
        ("aws.az.id", "\"apse2-az3\"".to_owned()),
        ("aws.vpc.id", "\"vpc-abcdefab012345678\"".to_owned()),
        ("aws.vpc.subnet.id", "\"subnet-aaaaaaaa012345678\"".to_owned()),
        ("network.interface.name", format!("\"{}\"", interface.eni)),
        ("aws.vpc.flow.interface_type", "\"interface\"".to_owned()),
        ("aws.vpc.flow.interface_tag", "\"web%20shop\"".to_owned()),
        ("aws.ecs.cluster.name", "\"shop\"".to_owned()),
        ("aws.ecs.task.arn", format!("\"{}\"", interface.ecs.task_arn.as_ref().unwrap())),
    ]);
    if let Some(task) = &interface.task {
        expected.insert("enid.task_name", format!("\"{task}\""));
    }
    assert_eq!(attributes(&resource.attributes), expected);
}

/// That the log records are those of the flow records, ENI by ENI.
pub(crate) fn assert_all(records: &[FlowRecord], mut logs: Vec<(Resource, LogRecord)>) {
    assert_eq!(logs.len(), records.len());
    let mut records: Vec<_> = records.iter().collect();
    let line = |record: &FlowRecord| {
        let mut line = String::new();
        Format::complete().render(record, &mut line);
        line
    };
    records.sort_by_key(|record| line(record));
    logs.sort_by_key(|(_, log)| match log.body.as_ref().unwrap().value.as_ref().unwrap() {
        Value::StringValue(line) => line.clone(),
        other => panic!("{other:?}"),
    });
    for (record, (resource, log)) in records.into_iter().zip(&logs) {
        assert_same(record, resource, log);
    }
}

/// Records of every kind.
pub(crate) fn records(count: u32) -> Vec<FlowRecord> {
    let mut records = flows(count, START);
    records.push(no_data(&interface(0)));
    records.push(skip_data(&interface(1), 5, 2));
    records
}

#[tokio::test]
async fn log_records_say_every_field() {
    let collector = Collector::start().await;
    let records = records(200);
    deliver(&mut sink("otlp+http", collector.port), &records, 0).await.unwrap();
    assert_all(&records, collector.logs());
}

#[tokio::test]
async fn the_attributes_are_those_of_the_format() {
    let collector = Collector::start().await;
    let format: Format = "${dstport} ${bytes} ${traffic-path}".parse().unwrap();
    let records = [flow(&interface(0), 0, START)];
    sink("otlp+http", collector.port).deliver(&parcel(&records, &format, 0)).await.unwrap();
    let logs = collector.logs();
    let [(_, log)] = logs.as_slice() else { panic!("{logs:?}") };
    let expected =
        BTreeMap::from([("destination.port", "443".to_owned()), ("aws.vpc.flow.bytes", "84".to_owned())]);
    assert_eq!(attributes(&log.attributes), expected);
}

#[tokio::test]
async fn a_repeated_parcel_goes_on_where_it_failed() {
    let collector = Collector::start().await;
    let mut sink = sink("otlp+http", collector.port);
    let records = records(3000);
    let busy = ("503 Service Unavailable", "Retry-After: 7\r\n", b"come\n back".to_vec());
    collector.answer([("200 OK", "", Vec::new()), busy]);
    let error = deliver(&mut sink, &records, 9).await.unwrap_err();
    assert!(error.is_worth_repeating());
    assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
    assert_eq!(
        error.to_string(),
        format!("otlp+http://127.0.0.1:{}: the collector answers 503: come back", collector.port)
    );
    assert_eq!(collector.sizes().len(), 2);
    deliver(&mut sink, &records, 9).await.unwrap();
    // Each record once, and no request much larger than a mebibyte.
    assert_all(&records, collector.logs());
    let sizes = collector.sizes();
    assert!(sizes.len() > 3 && sizes.iter().all(|size| *size < (1 << 20) + 10_000), "{sizes:?}");
    assert_eq!(sizes[1], sizes[2], "the request that failed, again");
}

#[tokio::test]
async fn another_parcel_begins_at_its_beginning() {
    let collector = Collector::start().await;
    let mut sink = sink("otlp+http", collector.port);
    let (given_up, next) = (records(3000), records(100));
    collector.answer([("200 OK", "", Vec::new()), ("429 Too Many Requests", "", Vec::new())]);
    let error = deliver(&mut sink, &given_up, 1).await.unwrap_err();
    assert!(error.is_worth_repeating() && error.retry_after().is_none());
    let taken = collector.logs().len();
    deliver(&mut sink, &next, 2).await.unwrap();
    assert_all(&next, collector.logs().split_off(taken));
}

#[tokio::test]
async fn what_a_collector_rejects_is_counted_and_not_sent_again() {
    let collector = Collector::start().await;
    let mut sink = sink("otlp+http", collector.port);
    let partial = |rejected| {
        let message = "too\nold".to_owned();
        let partial = ExportLogsPartialSuccess { rejected_log_records: rejected, error_message: message };
        ExportLogsServiceResponse { partial_success: Some(partial) }.encode_to_vec()
    };
    let records = records(3000);
    collector.answer([("200 OK", "", partial(3)), ("200 OK", "", partial(0)), ("200 OK", "", partial(4))]);
    let error = deliver(&mut sink, &records, 1).await.unwrap_err();
    assert!(!error.is_worth_repeating());
    assert_eq!(error.rejected(), 7);
    assert!(error.to_string().ends_with(": the collector rejected 7 records: too old"), "{error}");
    // What is malformed for it is so the next time, too; what comes after it is sent all the same.
    let before = collector.logs().len();
    collector.answer([("400 Bad Request", "Content-Type: text/plain\r\n", b"no".to_vec())]);
    let error = deliver(&mut sink, &records, 2).await.unwrap_err();
    assert!(!error.is_worth_repeating());
    assert_eq!(error.rejected() as usize, records.len() - (collector.logs().len() - before));
    assert!(error.rejected() > 100);
}

#[tokio::test]
async fn a_collector_that_is_not_there_is_an_error() {
    let port = free_tcp_port();
    let error = deliver(&mut sink("otlp+http", port), &records(1), 0).await.unwrap_err();
    assert!(matches!(error, DeliveryError::Http { .. }) && error.is_worth_repeating());
    let message = error.to_string();
    assert!(message.starts_with(&format!("otlp+http://127.0.0.1:{port}: ")), "{message}");
    assert!(message.contains("Connection refused"), "{message}");
}
