//! Printing records, one after the other.

use std::io::{self, BufWriter, StdoutLock, Write, stdout};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use enid_flowlog::{Field, Fields, Format as LineFormat, LogStatus, Value};
use enid_model::Protocol;
use serde::Serialize;

use super::progress::Progress;
use crate::failure::Failure;
use crate::output::{Format, json_line, yaml_document};
use crate::text::Column::{Left, Right};
use crate::text::{Table, csv_line, grouped, interval, or_dash};

/// How many rows of a table are looked at together to find its widths.
const ROWS_AT_ONCE: usize = 1_000;

/// What a table shows of a record.
const TABLE_FIELDS: [Field; 16] = [
    Field::Start,
    Field::End,
    Field::TaskName,
    Field::InterfaceId,
    Field::FlowDirection,
    Field::TrafficClass,
    Field::Protocol,
    Field::SrcAddr,
    Field::SrcPort,
    Field::DstAddr,
    Field::DstPort,
    Field::Packets,
    Field::Bytes,
    Field::Action,
    Field::DropReason,
    Field::LogStatus,
];

/// Prints records in the form that was asked for.
pub(super) struct Printer {
    shape: Shape,
    output: BufWriter<Output>,
}

enum Shape {
    Table(Box<Table<12>>),
    Lines(LineFormat),
    Json,
    Yaml,
    /// And whether the header is still to be written.
    Csv(LineFormat, bool),
}

/// The standard output, from whose way the bar goes.
struct Output {
    stdout: StdoutLock<'static>,
    progress: Arc<Progress>,
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.progress.clear();
        self.stdout.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stdout.flush()
    }
}

impl Printer {
    /// Prints lines in the line format, if there is one; else as the output format says. CSV has the line format's
    /// fields, or all that enid fills.
    pub(super) fn new(format: Format, lines: Option<LineFormat>, progress: Arc<Progress>) -> Self {
        let shape = match (format, lines) {
            (Format::Csv, lines) => Shape::Csv(lines.unwrap_or_else(LineFormat::complete), true),
            (_, Some(lines)) => Shape::Lines(lines),
            (Format::Table, None) => Shape::Table(Box::new(new_table())),
            (Format::Json, None) => Shape::Json,
            (Format::Yaml, None) => Shape::Yaml,
        };
        Self { shape, output: BufWriter::new(Output { stdout: stdout().lock(), progress }) }
    }

    /// The fields that are printed; none says all that a record has.
    pub(super) fn fields(&self) -> Option<Vec<Field>> {
        match &self.shape {
            Shape::Table(_) => Some(TABLE_FIELDS.to_vec()),
            Shape::Lines(format) | Shape::Csv(format, _) => Some(format.fields().to_vec()),
            Shape::Json | Shape::Yaml => None,
        }
    }

    /// Prints a record, at the latest when flushed.
    pub(super) fn print<R: Fields + Serialize>(&mut self, record: &R) -> Result<(), Failure> {
        let text = match &mut self.shape {
            Shape::Table(table) => {
                table.row(row(record));
                if table.waiting() < ROWS_AT_ONCE {
                    return Ok(());
                }
                table.take()
            }
            Shape::Lines(format) => {
                let mut line = String::new();
                format.render(record, &mut line);
                line.push('\n');
                line
            }
            Shape::Json => json_line(record)?,
            Shape::Yaml => yaml_document(record)?,
            Shape::Csv(format, header_is_due) => {
                csv_header(format, header_is_due) + &csv_record(format, record)
            }
        };
        Ok(self.output.write_all(text.as_bytes())?)
    }

    /// Writes out whatever waits; the first time, a table's header.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        match &mut self.shape {
            Shape::Table(table) => self.output.write_all(table.take().as_bytes())?,
            Shape::Csv(format, header_is_due) => {
                self.output.write_all(csv_header(format, header_is_due).as_bytes())?;
            }
            Shape::Lines(_) | Shape::Json | Shape::Yaml => {}
        }
        Ok(self.output.flush()?)
    }
}

fn csv_header(format: &LineFormat, is_due: &mut bool) -> String {
    if std::mem::take(is_due) {
        csv_line(format.fields().iter().map(|field| field.name()))
    } else {
        String::new()
    }
}

/// The record's values; an empty one where there is none.
fn csv_record(format: &LineFormat, record: &impl Fields) -> String {
    csv_line(format.fields().iter().map(|field| match field {
        Field::Version => format.version().to_string(),
        field => record.value(*field).map(|value| value.to_string()).unwrap_or_default(),
    }))
}

fn new_table() -> Table<12> {
    Table::new([
        Left("TIME (UTC)"),
        Left("TASK"),
        Left("ENI"),
        Left("DIRECTION"),
        Left("CLASS"),
        Left("PROTOCOL"),
        Left("SOURCE"),
        Left("DESTINATION"),
        Right("PACKETS"),
        Right("BYTES"),
        Left("ACTION"),
        Left("REASON"),
    ])
}

fn row(record: &impl Fields) -> [String; 12] {
    // Beyond what a time can be, the interval is shown as the number it is.
    let seconds = |field| number(record, field).map(|seconds| i64::try_from(seconds).unwrap_or(i64::MAX));
    let time = seconds(Field::Start).zip(seconds(Field::End));
    let protocol = number(record, Field::Protocol).and_then(|number| u8::try_from(number).ok());
    [
        or_dash(time.map(|(start, end)| interval(start, end))),
        or_dash(record.value(Field::TaskName)),
        or_dash(record.value(Field::InterfaceId)),
        or_dash(record.value(Field::FlowDirection)),
        or_dash(record.value(Field::TrafficClass)),
        or_dash(protocol.map(Protocol::Number)),
        endpoint(address(record, Field::SrcAddr), number(record, Field::SrcPort)),
        endpoint(address(record, Field::DstAddr), number(record, Field::DstPort)),
        or_dash(number(record, Field::Packets).map(grouped)),
        or_dash(number(record, Field::Bytes).map(grouped)),
        outcome(record),
        or_dash(record.value(Field::DropReason)),
    ]
}

fn number(record: &impl Fields, field: Field) -> Option<u64> {
    match record.value(field)? {
        Value::Number(number) => Some(number),
        _ => None,
    }
}

fn address(record: &impl Fields, field: Field) -> Option<IpAddr> {
    match record.value(field)? {
        Value::Address(address) => Some(address),
        _ => None,
    }
}

/// The address and the port; the address alone where the packets had no port, which records write as 0.
fn endpoint(address: Option<IpAddr>, port: Option<u64>) -> String {
    match (address, port.and_then(|port| u16::try_from(port).ok())) {
        (Some(address), Some(port)) if port != 0 => SocketAddr::new(address, port).to_string(),
        (address, _) => or_dash(address),
    }
}

/// The action; of an interval without a flow, why there is none.
fn outcome(record: &impl Fields) -> String {
    let without_flow = [LogStatus::NoData, LogStatus::SkipData].map(|status| Value::Text(status.as_str()));
    match record.value(Field::Action) {
        None => or_dash(record.value(Field::LogStatus).filter(|status| without_flow.contains(status))),
        action => or_dash(action),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use enid_flowlog::{Action, Direction, DropReason, ParsedRecord};
    use enid_model::TrafficClass;

    #[test]
    fn a_flow_and_an_idle_interval_are_a_row_each() {
        let flow = ParsedRecord {
            task_name: Some("web".into()),
            interface_id: "eni-0123456789abcdef0".parse().ok(),
            srcaddr: "fd00::4".parse().ok(),
            dstaddr: "fd00::9".parse().ok(),
            srcport: Some(40_000),
            dstport: Some(443),
            protocol: Some(6),
            packets: Some(1_000),
            bytes: Some(1_234_567),
            start: Some(1_700_000_000),
            end: Some(1_700_000_060),
            action: Some(Action::Reject),
            drop_reason: Some(DropReason::NoRule),
            log_status: Some(LogStatus::Ok),
            flow_direction: Some(Direction::Egress),
            traffic_class: Some(TrafficClass::ImagePull),
            ..ParsedRecord::default()
        };
        let idle = ParsedRecord {
            start: flow.start,
            end: flow.end,
            log_status: Some(LogStatus::NoData),
            ..ParsedRecord::default()
        };
        let mut table = new_table();
        table.row(row(&flow));
        table.row(row(&idle));
        let text = table.finish();
        let words: Vec<Vec<_>> = text
            .lines()
            .map(|line| line.split("  ").filter(|word| !word.is_empty()).map(str::trim).collect())
            .collect();
        assert_eq!(
            words[1],
            [
                "2023-11-14 22:13:20 – 22:14:20",
                "web",
                "eni-0123456789abcdef0",
                "egress",
                "image-pull",
                "tcp",
                "[fd00::4]:40000",
                "[fd00::9]:443",
                "1,000",
                "1,234,567",
                "REJECT",
                "no-rule",
            ]
        );
        assert_eq!(words[2].first(), words[1].first());
        assert_eq!(words[2].last_chunk(), Some(&["NODATA", "-"]));
    }

    #[test]
    fn csv_has_a_header_once_and_empty_values() {
        let format: LineFormat = "${version} ${srcaddr} ${traffic-class}".parse().unwrap();
        let record = ParsedRecord { srcaddr: "10.0.0.4".parse().ok(), ..ParsedRecord::default() };
        let mut is_due = true;
        assert_eq!(csv_header(&format, &mut is_due), "version,srcaddr,traffic-class\n");
        assert_eq!(csv_header(&format, &mut is_due), "");
        assert_eq!(csv_record(&format, &record), "2,10.0.0.4,\n");
    }

    #[test]
    fn without_a_port_an_endpoint_is_its_address() {
        assert_eq!(endpoint("10.0.0.4".parse().ok(), Some(0)), "10.0.0.4");
        assert_eq!(endpoint("10.0.0.4".parse().ok(), Some(53)), "10.0.0.4:53");
        assert_eq!(endpoint(None, None), "-");
    }
}
