//! Printing records, one after the other.

use std::io::{BufWriter, StdoutLock, Write, stdout};
use std::net::{IpAddr, SocketAddr};

use enid_flowlog::{Format as LineFormat, LogStatus, ParsedRecord};
use enid_model::Protocol;

use crate::failure::Failure;
use crate::output::{Format, json_line, yaml_document};
use crate::text::Column::{Left, Right};
use crate::text::{Table, grouped, interval, or_dash};

/// How many rows of a table are looked at together to find its widths.
const ROWS_AT_ONCE: usize = 1_000;

/// Prints records in the form that was asked for.
pub(super) struct Printer {
    shape: Shape,
    output: BufWriter<StdoutLock<'static>>,
}

enum Shape {
    Table(Box<Table<12>>),
    Lines(LineFormat),
    Json,
    Yaml,
}

impl Printer {
    /// Prints lines in the line format, if there is one; else as the output format says.
    pub(super) fn new(format: Format, lines: Option<LineFormat>) -> Self {
        let shape = match (lines, format) {
            (Some(lines), _) => Shape::Lines(lines),
            (None, Format::Table) => Shape::Table(Box::new(new_table())),
            (None, Format::Json) => Shape::Json,
            (None, Format::Yaml) => Shape::Yaml,
        };
        Self { shape, output: BufWriter::new(stdout().lock()) }
    }

    /// Prints a record, at the latest when flushed.
    pub(super) fn print(&mut self, record: &ParsedRecord) -> Result<(), Failure> {
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
        };
        Ok(self.output.write_all(text.as_bytes())?)
    }

    /// Writes out whatever waits; the first time, a table's header.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        if let Shape::Table(table) = &mut self.shape {
            self.output.write_all(table.take().as_bytes())?;
        }
        Ok(self.output.flush()?)
    }
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

fn row(record: &ParsedRecord) -> [String; 12] {
    // Beyond what a time can be, the interval is shown as the number it is.
    let seconds = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX);
    let time = record.start.zip(record.end);
    [
        or_dash(time.map(|(start, end)| interval(seconds(start), seconds(end)))),
        or_dash(record.task_name.as_ref()),
        or_dash(record.interface_id),
        or_dash(record.flow_direction),
        or_dash(record.traffic_class),
        or_dash(record.protocol.map(Protocol::Number)),
        endpoint(record.srcaddr, record.srcport),
        endpoint(record.dstaddr, record.dstport),
        or_dash(record.packets.map(grouped)),
        or_dash(record.bytes.map(grouped)),
        outcome(record),
        or_dash(record.drop_reason),
    ]
}

/// The address and the port; the address alone where the packets had no port, which records write as 0.
fn endpoint(address: Option<IpAddr>, port: Option<u16>) -> String {
    match (address, port) {
        (Some(address), Some(port)) if port != 0 => SocketAddr::new(address, port).to_string(),
        (address, _) => or_dash(address),
    }
}

/// The action; of an interval without a flow, why there is none.
fn outcome(record: &ParsedRecord) -> String {
    match (record.action, record.log_status) {
        (None, Some(status @ (LogStatus::NoData | LogStatus::SkipData))) => status.to_string(),
        (action, _) => or_dash(action),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use enid_flowlog::{Action, Direction, DropReason};
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
    fn without_a_port_an_endpoint_is_its_address() {
        assert_eq!(endpoint("10.0.0.4".parse().ok(), Some(0)), "10.0.0.4");
        assert_eq!(endpoint("10.0.0.4".parse().ok(), Some(53)), "10.0.0.4:53");
        assert_eq!(endpoint(None, None), "-");
    }
}
