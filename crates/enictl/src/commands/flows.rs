//! `enictl flows`.

mod filter;
mod follow;
mod printer;
mod spool;
mod totals;

use std::fmt::Display;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, value_parser};
use enid_api::v1::GetSpoolRequest;
use enid_flowlog::{Filter, Format, GroupBy, ParsedRecord, SortBy, Summary, read};
use enid_spool::Damage;

use crate::failure::Failure;
use crate::session::Session;

use filter::FilterArguments;
use printer::Printer;

/// How many groups `--group` shows without `--top`.
const DEFAULT_TOP: u32 = 10;

/// Read flow records, from their files or live
///
/// Prints the records that meet every condition, oldest file first. JSON is a line for each record, keys in camelCase.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  enictl flows --task web --since 10m --action reject
  enictl flows --reason spoofed-source --follow
  enictl flows --top 5 --by bytes --group peer
  enictl flows --follow --format '${srcaddr} ${dstaddr} ${bytes} ${traffic-class}'")]
pub(crate) struct Flows {
    /// Print each record from now on as it is written, until interrupted
    #[arg(long, conflicts_with_all = ["since", "until", "directory", "top", "group", "by"])]
    follow: bool,
    /// Add the records up, and show the N largest groups
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..))]
    top: Option<u32>,
    /// What the records of a group have in common; peer without it
    #[arg(long, value_parser = choice(GroupBy::ALL, GroupBy::as_str))]
    group: Option<GroupBy>,
    /// What the groups are ordered by; bytes without it
    #[arg(long, value_parser = choice(SortBy::ALL, SortBy::as_str))]
    by: Option<SortBy>,
    /// The fields of a line, as `${srcaddr} ${dstaddr}`
    #[arg(long, conflicts_with_all = ["top", "group", "by"])]
    format: Option<Format>,
    /// The folder of flow log files, or one file; the daemon's spool without it
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
    // Last, so that its heading is of its own options alone.
    #[command(flatten)]
    filter: FilterArguments,
}

/// Takes the names of an enum's values; usage errors and completions list them.
fn choice<T: Copy + Send + Sync + 'static>(
    all: &'static [T],
    name: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(all.iter().map(|value| name(*value)))
        .try_map(move |text| all.iter().copied().find(|value| name(*value) == text).ok_or("unknown value"))
}

impl Flows {
    /// Reads the files, or follows the daemon.
    pub(crate) fn execute(self, session: &Session) -> Result<ExitCode, Failure> {
        let filter = self.filter.into_filter();
        if self.follow {
            let printer = Printer::new(session.format, self.format);
            return session.talk(async |client| follow::follow(client, &filter, printer).await);
        }
        let source = match self.directory {
            Some(directory) => Source::Files(directory),
            None => Source::Spool(spool_directory(session)?),
        };
        let mut readable = Readable::default();
        if self.top.is_some() || self.group.is_some() || self.by.is_some() {
            let group_by = self.group.unwrap_or(GroupBy::Peer);
            let mut summary = Summary::new(group_by);
            readable.each(&source, &filter, |record| {
                summary.add(&record);
                Ok(())
            })?;
            let top = self.top.unwrap_or(DEFAULT_TOP) as usize;
            totals::print(session.format, group_by, &summary, top, self.by.unwrap_or(SortBy::Bytes))?;
        } else {
            let mut printer = Printer::new(session.format, self.format);
            readable.each(&source, &filter, |record| printer.print(&record))?;
            printer.flush()?;
        }
        Ok(readable.exit_code())
    }
}

/// Where records are read from.
enum Source {
    /// The daemon's spool.
    Spool(PathBuf),
    /// Files that were delivered.
    Files(PathBuf),
}

fn spool_directory(session: &Session) -> Result<PathBuf, Failure> {
    session.talk(async |client| {
        let spool = client.flows().get_spool(GetSpoolRequest {}).await?;
        Ok(spool.into_inner().directory.into())
    })
}

/// Goes through records past those that can't be read, each of which is reported and fails the command in the end.
#[derive(Debug, Default)]
struct Readable {
    failed: bool,
}

impl Readable {
    fn each(
        &mut self,
        source: &Source,
        filter: &Filter,
        mut use_record: impl FnMut(ParsedRecord) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut failed = |problem: &dyn Display| {
            self.failed = true;
            eprintln!("enictl: {problem}");
        };
        match source {
            Source::Spool(folder) => spool::each(
                folder,
                filter,
                |Damage { file, offset, bytes, .. }| {
                    failed(&format_args!("{}: {bytes} bytes at {offset} can't be read", file.display()));
                },
                use_record,
            ),
            Source::Files(path) => read(path, filter)?.try_for_each(|record| match record {
                Ok(record) => use_record(record),
                Err(error) => {
                    failed(&error);
                    Ok(())
                }
            }),
        }
    }

    const fn exit_code(&self) -> ExitCode {
        if self.failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}
