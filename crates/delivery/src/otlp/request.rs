//! Log records in requests (opentelemetry/proto/collector/logs/v1/logs_service.proto), each of a bounded size.

use enid_flowlog::{Field, Fields, FlowRecord, Format, Interface, Value};

use super::attribute;
use super::protobuf::Writer;

/// A request ends with the record that takes it to this many octets: a sixteenth of what OpenTelemetry's collector takes
/// by default.
const LARGE: usize = 1 << 20;

/// Fields of the messages in use.
mod number {
    pub(super) const RESOURCE_LOGS: u32 = 1;
    pub(super) const RESOURCE: u32 = 1;
    pub(super) const RESOURCE_ATTRIBUTES: u32 = 1;
    pub(super) const SCOPE_LOGS: u32 = 2;
    pub(super) const SCOPE: u32 = 1;
    pub(super) const SCOPE_NAME: u32 = 1;
    pub(super) const SCOPE_VERSION: u32 = 2;
    pub(super) const SCOPE_ATTRIBUTES: u32 = 3;
    pub(super) const LOG_RECORDS: u32 = 2;
    pub(super) const TIME: u32 = 1;
    pub(super) const SEVERITY: u32 = 2;
    pub(super) const BODY: u32 = 5;
    pub(super) const BODY_STRING: u32 = 1;
    pub(super) const ATTRIBUTES: u32 = 6;
    pub(super) const OBSERVED_TIME: u32 = 11;
}

/// SEVERITY_NUMBER_INFO.
const INFO: u64 = 9;

/// A request's body, and how many of the records it has.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) body: Vec<u8>,
    pub(super) records: usize,
}

/// The request of the first of these records: as many as it may have, those of one ENI next to each other.
pub(super) fn next(records: &[&FlowRecord], format: &Format, observed: u64) -> Request {
    let mut body = Writer::default();
    let mut taken = 0;
    let mut line = String::new();
    for records in records.chunk_by(|one, next| one.interface.eni == next.interface.eni) {
        let Some(first) = records.first() else { continue };
        if body.octets.len() >= LARGE {
            break;
        }
        body.message(number::RESOURCE_LOGS, |logs| {
            logs.message(number::RESOURCE, |resource| put_resource(resource, &first.interface, first));
            logs.message(number::SCOPE_LOGS, |logs| {
                logs.message(number::SCOPE, put_scope);
                for record in records {
                    line.clear();
                    format.render(*record, &mut line);
                    logs.message(number::LOG_RECORDS, |log| put_record(log, record, format, &line, observed));
                    taken += 1;
                    // The whole request's octets: a message is written in the place where it stays.
                    if logs.octets.len() >= LARGE {
                        break;
                    }
                }
            });
        });
    }
    Request { body: body.octets, records: taken }
}

fn put_resource(resource: &mut Writer, interface: &Interface, record: &FlowRecord) {
    let list = number::RESOURCE_ATTRIBUTES;
    attribute::put_text(resource, list, "cloud.provider", "aws");
    attribute::put_text(resource, list, "cloud.availability_zone", interface.zone.as_str());
    for (field, name) in attribute::RESOURCE {
        if let Some(value) = record.value(field) {
            attribute::put(resource, list, field, name, value);
        }
    }
}

fn put_scope(scope: &mut Writer) {
    scope.bytes(number::SCOPE_NAME, env!("CARGO_PKG_NAME").as_bytes());
    scope.bytes(number::SCOPE_VERSION, env!("CARGO_PKG_VERSION").as_bytes());
    // By which pipelines tell flow logs from other logs, as the collector's own reader says it.
    attribute::put_text(scope, number::SCOPE_ATTRIBUTES, "encoding.format", "aws.vpcflow");
}

fn put_record(log: &mut Writer, record: &FlowRecord, format: &Format, line: &str, observed: u64) {
    log.fixed64(number::TIME, nanoseconds(record.end));
    log.varint(number::SEVERITY, INFO);
    log.message(number::BODY, |body| body.bytes(number::BODY_STRING, line.as_bytes()));
    for field in format.fields() {
        let value = match field {
            Field::Version => Some(Value::Number(format.version().into())),
            field => record.value(*field),
        };
        if let (Some(name), Some(value)) = (attribute::name(*field), value) {
            attribute::put(log, number::ATTRIBUTES, *field, name, value);
        }
    }
    log.fixed64(number::OBSERVED_TIME, observed);
}

/// Unix seconds as the protocol counts, which is up to 2554.
const fn nanoseconds(seconds: u64) -> u64 {
    seconds.saturating_mul(1_000_000_000)
}
