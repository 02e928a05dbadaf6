//! `enictl counters`.

use std::io::{IsTerminal, stdout};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use enid_api::v1::{CountersRequest, CountersResponse, DirectionCounters, FlowTable};
use tokio::time::{MissedTickBehavior, interval};

use crate::failure::Failure;
use crate::output::{Format, json_line, write, yaml_document};
use crate::session::Session;
use crate::text::Column::{Left, Right};
use crate::text::{Table, grouped};

/// How often `--watch` asks.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);
/// Moves the cursor home and clears the screen (ECMA-48: CUP, ED).
const CLEAR_SCREEN: &str = "\x1b[H\x1b[2J";

/// Show packets and bytes by ENI and direction
///
/// The total of each direction, what of it each traffic class carried, what was refused and why, and what passed outside
/// flows. Packets and bytes are layer 3, as on the wire.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  enictl counters web --watch")]
pub(crate) struct Counters {
    /// A task's name; all tasks without it
    task: Option<String>,
    /// Ask again every second, until interrupted
    #[arg(long)]
    watch: bool,
}

impl Counters {
    /// Asks once, or every second.
    pub(crate) fn execute(self, session: &Session) -> Result<ExitCode, Failure> {
        let request = CountersRequest { task: self.task };
        session.talk(async |client| {
            let mut flows = client.flows();
            if !self.watch {
                let response = flows.counters(request).await?.into_inner();
                return session.format.print(&response, table);
            }
            // A screen is redrawn; what goes to a file or a program is kept.
            let redraw = stdout().is_terminal();
            let mut ticks = interval(WATCH_INTERVAL);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let response = flows.counters(request.clone()).await?.into_inner();
                let text = match (session.format, redraw) {
                    (Format::Table, true) => format!("{CLEAR_SCREEN}{}", table(&response)),
                    (Format::Table, false) => table(&response) + "\n",
                    (Format::Json, _) => json_line(&response)?,
                    (Format::Yaml, _) => yaml_document(&response)?,
                    (Format::Csv, _) => return Err(Format::no_csv()),
                };
                write(&text)?;
            }
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

fn table(response: &CountersResponse) -> String {
    let mut table = Table::new([
        Left("TASK"),
        Left("ENI"),
        Left("DIRECTION"),
        Left("OF"),
        Right("PACKETS"),
        Right("BYTES"),
    ]);
    for eni in &response.enis {
        for (direction, counters) in [("egress", &eni.egress), ("ingress", &eni.ingress)] {
            for (of, packets, bytes) in counters.iter().flat_map(lines) {
                table.row([
                    eni.task.clone(),
                    eni.eni_id.clone(),
                    direction.to_owned(),
                    of,
                    grouped(packets),
                    format!("{} B", grouped(bytes)),
                ]);
            }
        }
    }
    let table = table.finish();
    match flow_table(response) {
        Some(line) => format!("{table}\n{line}\n"),
        None => table,
    }
}

/// How full the flow table is, and what of it is one ENI's, if that is all that was asked for.
fn flow_table(response: &CountersResponse) -> Option<String> {
    let FlowTable { entries, capacity } = response.flow_table?;
    let of_one = match &*response.enis {
        [eni] => format!(", {} of them of {}", grouped(eni.flow_entries), eni.task),
        _ => String::new(),
    };
    Some(format!("flow table: {} of {} entries in use{of_one}", grouped(entries), grouped(capacity)))
}

/// The total, then what it is made of.
fn lines(counters: &DirectionCounters) -> impl Iterator<Item = (String, u64, u64)> {
    let parts = |kind, parts: &[enid_api::v1::NamedCounter]| {
        parts
            .iter()
            .map(|part| (format!("{kind} {}", part.name), part.packets, part.bytes))
            .collect::<Vec<_>>()
    };
    let not_logged = counters.not_logged.filter(|count| count.packets > 0);
    std::iter::once(("total".to_owned(), counters.packets, counters.bytes))
        .chain(parts("class", &counters.classes))
        .chain(parts("refused", &counters.refused))
        .chain(parts("bucket", &counters.buckets))
        .chain(not_logged.map(|count| ("of these not logged".to_owned(), count.packets, count.bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use enid_api::v1::{EniCounters, NamedCounter, PacketsAndBytes};

    #[test]
    fn totals_come_before_their_parts() {
        let named = |name: &str, packets, bytes| NamedCounter { name: name.to_owned(), packets, bytes };
        let response = CountersResponse {
            enis: vec![EniCounters {
                task: "web".into(),
                eni_id: "eni-1".into(),
                egress: Some(DirectionCounters {
                    packets: 1_003,
                    bytes: 1_234_647,
                    classes: vec![named("image-pull", 1_000, 1_234_537)],
                    buckets: vec![named("arp", 1, 30)],
                    refused: vec![named("no-rule", 2, 80)],
                    not_logged: Some(PacketsAndBytes { packets: 3, bytes: 252 }),
                }),
                ingress: None,
                flow_entries: 12,
            }],
            flow_table: Some(FlowTable { entries: 1_234, capacity: 1_048_576 }),
        };
        assert_eq!(
            table(&response),
            "TASK  ENI    DIRECTION  OF                   PACKETS        BYTES\n\
             web   eni-1  egress     total                  1,003  1,234,647 B\n\
             web   eni-1  egress     class image-pull       1,000  1,234,537 B\n\
             web   eni-1  egress     refused no-rule            2         80 B\n\
             web   eni-1  egress     bucket arp                 1         30 B\n\
             web   eni-1  egress     of these not logged        3        252 B\n\
             \n\
             flow table: 1,234 of 1,048,576 entries in use, 12 of them of web\n"
        );
    }
}
