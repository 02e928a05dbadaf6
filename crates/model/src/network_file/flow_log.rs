//! `[[vpc.flow_log]]`.

use crate::Name;

use super::problem::{Placed, Report, Written};
use super::spec::FlowLogSpec;
use super::table::Table;

const FIELDS: [&str; 10] = [
    "name",
    "subnet",
    "destination",
    "format",
    "interval",
    "traffic",
    "file_format",
    "hive_partitions",
    "hourly_partitions",
    "interface_tags",
];

/// What could be read of a flow log.
pub(super) struct FlowLogDraft {
    pub(super) name: Option<Placed<Name>>,
    /// The whole, if no required field is missing or refused.
    pub(super) spec: Option<FlowLogSpec>,
}

/// Reads a flow log; the texts that only the daemon can judge stay texts.
pub(super) fn read(table: &Table<'_>, report: &mut Report<'_>) -> FlowLogDraft {
    table.refuse_unknown(&FIELDS, report);
    let name: Option<Placed<Name>> =
        table.require("name", "the flow log's name, unique on the host, as `name = \"all\"`", report);
    table.require_field("destination", "where to, as `destination = \"/var/log/flows\"`", report);
    let written = |field, report: &mut Report<'_>| {
        let text = table.text(field, report)?;
        Some(report.written(text.map(str::to_owned)))
    };
    let interval = table.parse_number_with("interval", |text| Ok(text.to_owned()), report);
    let interval = interval.map(|text| report.written(text));
    let destination = written("destination", report);
    let (subnet, format) = (written("subnet", report), written("format", report));
    let (traffic, file_format) = (written("traffic", report), written("file_format", report));
    let hive_partitions = table.flag("hive_partitions", report);
    let hourly_partitions = table.flag("hourly_partitions", report);
    let interface_tags = read_interface_tags(table, report);
    let spec = || {
        Some(FlowLogSpec {
            name: report.written(name.clone()?.map(|name| name.to_string())),
            subnet,
            destination: destination?,
            format,
            interval,
            traffic,
            file_format,
            hive_partitions,
            hourly_partitions,
            interface_tags,
        })
    };
    let spec = spec();
    FlowLogDraft { name, spec }
}

fn read_interface_tags(table: &Table<'_>, report: &mut Report<'_>) -> Vec<Written> {
    let tags = table.texts("interface_tags", report);
    tags.into_iter().map(|tag| report.written(tag.map(str::to_owned))).collect()
}
