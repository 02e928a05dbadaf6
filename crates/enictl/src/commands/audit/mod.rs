//! `enictl audit`.

mod account;
mod files;
mod live;
mod periods;
mod range;
mod report;

use std::process::ExitCode;

use clap::{Args, ValueHint};

use crate::commands::flows::source::{Source, source_parser};
use crate::failure::Failure;
use crate::session::Session;
use crate::text::Moment;

/// Packets and bytes, or differences of them.
type Difference = [i128; 2];

/// Check that the ledgers close
///
/// Flow records (read back from their files), entries not yet written and what passed outside flows must add up to the
/// wire ledger, refusals in them to what it counts as refused; the interface ledger must equal the kernel's own counter
/// of the interface. Exits with 1 if anything is left over.
///
/// With a time range, or a flow log, what is audited is what was written or delivered: records and buckets against what the
/// wire ledger has counted in these intervals, ENIs that are gone among them. A range is widened to whole intervals.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  enictl audit web\n  enictl audit --since 1h\n  enictl audit --flow-log all --since 1d --until 1h"
)]
pub(crate) struct Audit {
    /// A task's name; all tasks without it
    task: Option<String>,
    /// From the interval that has this time: a time ago (90s, 10m, 2h, 1d), RFC 3339 or Unix seconds
    #[arg(long, value_name = "TIME")]
    since: Option<Moment>,
    /// To the interval that ends then, or the one that has this time
    #[arg(long, value_name = "TIME")]
    until: Option<Moment>,
    /// Audit what was delivered for a flow log, by name or id, instead of the spool
    #[arg(long, value_name = "NAME")]
    flow_log: Option<String>,
    /// Where the flow log's files are now, if not where they were delivered: a folder, file:///… or s3://bucket/prefix
    #[arg(long, value_name = "PLACE", requires = "flow_log", value_hint = ValueHint::AnyPath)]
    #[arg(value_parser = source_parser())]
    from: Option<Source>,
}

impl Audit {
    /// Prints both sums of each ENI.
    pub(crate) fn execute(self, session: &Session) -> Result<ExitCode, Failure> {
        // Before 1970 there are no records: any such time is the beginning.
        let seconds = |moment: Moment| u64::try_from(moment.unix_seconds()).unwrap_or(0);
        let (since, until) = (self.since.map(seconds), self.until.map(seconds));
        if since.zip(until).is_some_and(|(since, until)| since >= until) {
            return Err(Failure::Usage("--since is not before --until".to_owned()));
        }
        match self.flow_log {
            Some(flow_log) => files::execute(session, &flow_log, self.from, self.task, (since, until)),
            None if since.is_some() || until.is_some() => range::execute(session, self.task, (since, until)),
            None => live::execute(self.task, session),
        }
    }
}
