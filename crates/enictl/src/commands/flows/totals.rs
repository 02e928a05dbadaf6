//! The largest groups of records.

use enid_flowlog::{GroupBy, Key, SortBy, Summary, Totals};
use serde::Serialize;

use crate::failure::Failure;
use crate::output::{Format, write};
use crate::text::Column::{Left, Right};
use crate::text::{Table, csv_line, grouped};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    group_by: &'static str,
    groups: Vec<Group>,
    total: Totals,
}

#[derive(Serialize)]
struct Group {
    key: Key,
    #[serde(flatten)]
    totals: Totals,
}

/// Prints the first `top` groups, and the total of all.
pub(super) fn print(
    format: Format,
    group_by: GroupBy,
    summary: &Summary,
    top: usize,
    sort_by: SortBy,
) -> Result<(), Failure> {
    let groups = summary.top(top, sort_by);
    let answer = Answer {
        group_by: group_by.as_str(),
        groups: groups.into_iter().map(|(key, totals)| Group { key, totals }).collect(),
        total: summary.total(),
    };
    match format {
        Format::Csv => write(&csv(&answer)),
        format => format.print(&answer, |answer| table(group_by, answer)),
    }
}

/// A line for each group: what the total of all is, the lines of all groups say.
fn csv(answer: &Answer) -> String {
    let header = csv_line([answer.group_by, "flows", "packets", "bytes"]);
    let lines = answer.groups.iter().map(|Group { key, totals }| {
        let key = if *key == Key::Unknown { String::new() } else { key.to_string() };
        let [flows, packets, bytes] =
            [totals.flows, totals.packets, totals.bytes].map(|number| number.to_string());
        csv_line([key, flows, packets, bytes])
    });
    std::iter::once(header).chain(lines).collect()
}

fn table(group_by: GroupBy, answer: &Answer) -> String {
    let header = match group_by {
        GroupBy::Class => "CLASS",
        GroupBy::Task => "TASK",
        GroupBy::Eni => "ENI",
        GroupBy::Peer => "PEER",
        GroupBy::Port => "PORT",
        GroupBy::Service => "SERVICE",
        GroupBy::Reason => "REASON",
    };
    let mut table = Table::new([Left(header), Right("FLOWS"), Right("PACKETS"), Right("BYTES")]);
    let mut row = |key: String, totals: Totals| {
        table.row([key, grouped(totals.flows), grouped(totals.packets), grouped(totals.bytes)]);
    };
    for group in &answer.groups {
        row(group.key.to_string(), group.totals);
    }
    row("all".to_owned(), answer.total);
    table.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use enid_flowlog::ParsedRecord;
    use enid_model::TrafficClass;

    #[test]
    fn the_total_is_of_all_groups_not_of_the_largest_alone() {
        let mut summary = Summary::new(GroupBy::Class);
        for (class, bytes) in [(TrafficClass::Logs, 10), (TrafficClass::ImagePull, 1_000)] {
            summary.add(&ParsedRecord {
                traffic_class: Some(class),
                packets: Some(1),
                bytes: Some(bytes),
                ..ParsedRecord::default()
            });
        }
        let groups = summary.top(1, SortBy::Bytes);
        let answer = Answer {
            group_by: "class",
            groups: groups.into_iter().map(|(key, totals)| Group { key, totals }).collect(),
            total: summary.total(),
        };
        assert_eq!(
            table(GroupBy::Class, &answer),
            "CLASS       FLOWS  PACKETS  BYTES\n\
             image-pull      1        1  1,000\n\
             all             2        2  1,010\n"
        );
        assert_eq!(csv(&answer), "class,flows,packets,bytes\nimage-pull,1,1,1000\n");
    }
}
