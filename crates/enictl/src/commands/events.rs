//! `enictl events`.

use std::process::ExitCode;

use clap::Args;
use enid_api::v1::{Event, WatchRequest};

use crate::failure::Failure;
use crate::output::{self, Format};
use crate::session::Session;
use crate::text::{Column, Table, milliseconds, or_dash};

/// Watch what happens on the host: tasks that come and go, changed rules, a flow table that fills
///
/// Prints what happens from now on, until it is interrupted.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  enictl events --task web --kind task-ready")]
pub(crate) struct Events {
    /// Of one task alone
    #[arg(long, value_name = "NAME")]
    task: Option<String>,
    /// Of this kind alone; may be repeated: task-created, task-ready, task-failed, task-deleted, policy-changed,
    /// flow-table-filling
    #[arg(long = "kind", value_name = "KIND")]
    kinds: Vec<String>,
}

impl Events {
    /// Ends with the stream.
    pub(crate) fn execute(self, session: &Session) -> Result<ExitCode, Failure> {
        let request = WatchRequest { kinds: self.kinds, task: self.task };
        let format = session.format;
        session.talk(async |client| {
            let mut stream = client.events().watch(request).await?.into_inner();
            let mut table = table();
            while let Some(event) = stream.message().await? {
                let is_first = event.kind == "watching";
                output::write(&match format {
                    Format::Table => {
                        if !is_first {
                            table.row(row(&event));
                        }
                        table.take()
                    }
                    Format::Json => output::json_line(&event)?,
                    Format::Yaml => output::yaml_document(&event)?,
                    Format::Csv => return Err(Format::no_csv()),
                })?;
            }
            Err(Failure::Daemon("the daemon ended the stream of events: is it stopping?".to_owned()))
        })
    }
}

fn table() -> Table<5> {
    Table::new([
        Column::Left("TIME (UTC)"),
        Column::Left("EVENT"),
        Column::Left("TASK"),
        Column::Left("ENI"),
        Column::Left("DETAILS"),
    ])
}

fn row(event: &Event) -> [String; 5] {
    [
        milliseconds(event.unix_milliseconds),
        event.kind.clone(),
        or_dash(event.task.as_ref()),
        or_dash(event.eni_id.as_ref()),
        if event.details.is_empty() { "-".to_owned() } else { event.details.join("; ") },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_a_line() {
        let mut table = table();
        table.row(row(&Event {
            kind: "policy-changed".to_owned(),
            sequence: 3,
            unix_milliseconds: 1_795_276_477_042,
            task: None,
            eni_id: None,
            details: vec!["+ vpc a".to_owned(), "+ subnet a/b".to_owned()],
        }));
        assert_eq!(
            table.finish().lines().nth(1).unwrap(),
            "2026-11-21 15:54:37.042  policy-changed  -     -    + vpc a; + subnet a/b"
        );
    }
}
