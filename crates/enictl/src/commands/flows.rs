//! `enictl flows`.

mod filter;
mod follow;
mod histogram;
mod printer;
pub(super) mod progress;
mod reading;
pub(super) mod source;
mod totals;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueHint, value_parser};
use enid_api::v1::GetSpoolRequest;
use enid_flowlog::{Format, GroupBy, SortBy};

use crate::failure::Failure;
use crate::session::Session;
use crate::text::Span;

use filter::FilterArguments;
use printer::Printer;
use progress::Progress;
use reading::{Reading, Records};
use source::{Source, source_parser};

/// How many groups `--group` shows without `--top`.
const DEFAULT_TOP: u32 = 10;

/// Read flow records, from the spool, from delivered files or live
///
/// Prints the records that meet every condition, oldest file first. JSON is a line for each record, keys in camelCase;
/// CSV has the fields that `--format` names, or all.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  enictl flows --task web --since 10m --action reject
  enictl flows --reason spoofed-source --follow
  enictl flows --top 5 --by bytes --group peer
  enictl flows --histogram 1m --by packets --since 1h
  enictl flows --from s3://flows/prod --task web --since 1d -o csv
  enictl flows --follow --format '${srcaddr} ${dstaddr} ${bytes} ${traffic-class}'")]
pub(crate) struct Flows {
    /// Print each record from now on as it is written, until interrupted
    #[arg(long, conflicts_with_all = ["since", "until", "from", "top", "group", "by", "histogram"])]
    follow: bool,
    /// Add the records up, and show the N largest groups
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..))]
    top: Option<u32>,
    /// What the records of a group have in common; peer without it
    #[arg(long, value_parser = choice(GroupBy::ALL, GroupBy::as_str))]
    group: Option<GroupBy>,
    /// What the groups are ordered by, or the histogram shows; bytes without it
    #[arg(long, value_parser = choice(SortBy::ALL, SortBy::as_str))]
    by: Option<SortBy>,
    /// Add the records up by the time that they end in, and draw a bar for each 10s, 1m, 1h or 1d
    #[arg(long, value_name = "WIDTH", value_parser = width, conflicts_with_all = ["top", "group"])]
    histogram: Option<Span>,
    /// The fields of a line, as `${srcaddr} ${dstaddr}`
    #[arg(long, conflicts_with_all = ["top", "group", "by", "histogram"])]
    format: Option<Format>,
    /// Delivered files: a folder, one file, file:///… or s3://bucket/prefix?endpoint=…; the daemon's spool without it
    #[arg(long, value_name = "PLACE", value_hint = ValueHint::AnyPath, visible_alias = "directory")]
    #[arg(value_parser = source_parser())]
    from: Option<Source>,
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

fn width(text: &str) -> Result<Span, &'static str> {
    let span: Span = text.parse()?;
    if span.seconds() == 0 { Err("a bar stands for at least a second") } else { Ok(span) }
}

impl Flows {
    /// Reads the spool or the files, or follows the daemon.
    pub(crate) fn execute(self, session: &Session) -> Result<ExitCode, Failure> {
        let filter = self.filter.into_filter();
        let progress = Arc::new(Progress::new());
        if self.follow {
            let printer = Printer::new(session.format, self.format, progress);
            return session.talk(async |client| follow::follow(client, &filter, printer).await);
        }
        let records = match self.from {
            Some(source) => Records::Files(source.place()?),
            None => Records::Spool(spool_directory(session)?),
        };
        let reading = Reading::new(records, filter, Arc::clone(&progress));
        let by = self.by.unwrap_or(SortBy::Bytes);
        if let Some(width) = self.histogram {
            let histogram = reading.histogram(width.seconds())?;
            progress.clear();
            histogram::print(session.format, &histogram, by)?;
        } else if self.top.is_some() || self.group.is_some() || self.by.is_some() {
            let group_by = self.group.unwrap_or(GroupBy::Peer);
            let summary = reading.summary(group_by)?;
            progress.clear();
            let top = self.top.unwrap_or(DEFAULT_TOP) as usize;
            totals::print(session.format, group_by, &summary, top, by)?;
        } else {
            reading.print(Printer::new(session.format, self.format, progress))?;
        }
        Ok(reading.exit_code())
    }
}

/// Where the daemon keeps its spool.
pub(super) fn spool_directory(session: &Session) -> Result<PathBuf, Failure> {
    session.talk(async |client| {
        let spool = client.flows().get_spool(GetSpoolRequest {}).await?;
        Ok(spool.into_inner().directory.into())
    })
}
