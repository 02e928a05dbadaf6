//! `enictl setup-times`.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;
use enid_api::v1::{SetupTimesRequest, SetupTimesResponse, TimeHistogram};

use crate::failure::Failure;
use crate::session::Session;
use crate::text::Column::{Left, Right};
use crate::text::{Table, grouped};

/// Show where creates and deletes wait and run, and for how long
///
/// A few creates are let in at a time, and a few deletes; the others wait, in the order of their arrival. Inside they take turns
/// at making namespaces, at the kernel's links, and at the store. Times are of all since the daemon started: half of them, and
/// 99 in 100, took at most what is shown.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  enictl setup-times")]
pub(crate) struct SetupTimes {}

impl SetupTimes {
    /// Asks once.
    pub(crate) fn execute(session: &Session) -> Result<ExitCode, Failure> {
        let response = session
            .talk(async |client| Ok(client.host().setup_times(SetupTimesRequest {}).await?.into_inner()))?;
        session.format.print(&response, table)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn table(response: &SetupTimesResponse) -> String {
    let mut table = Table::new([
        Left("STAGE"),
        Right("LIMIT"),
        Right("RUNNING"),
        Right("WAITING"),
        Right("ADMITTED"),
        Right("GIVEN UP"),
        Right("WAITED"),
        Right("99 %"),
        Right("RAN"),
        Right("99 %"),
    ]);
    for stage in &response.stages {
        table.row([
            stage.stage.clone(),
            stage.limit.to_string(),
            stage.running.to_string(),
            stage.waiting.to_string(),
            grouped(stage.admitted),
            grouped(stage.given_up),
            at_most(stage.waited.as_ref(), 50),
            at_most(stage.waited.as_ref(), 99),
            at_most(stage.ran.as_ref(), 50),
            at_most(stage.ran.as_ref(), 99),
        ]);
    }
    let mut text = table.finish();
    for slots in &response.prepared_slots {
        // Writing to a String does not fail.
        let _ = write!(text, "\n{}: {} of {} slots are ready\n", slots.vpc_id, slots.ready, slots.wanted);
    }
    text
}

/// What so many in a hundred took at most: the upper bound of their bucket.
fn at_most(times: Option<&TimeHistogram>, percent: u64) -> String {
    let Some(times) = times.filter(|times| times.count > 0) else { return "-".to_owned() };
    let rank = (times.count * percent).div_ceil(100);
    let bound = |bucket: &enid_api::v1::TimeBucket| bucket.upper_bound_seconds.map(|bound| bound * 1000.0);
    let found = times.buckets.iter().find(|bucket| bucket.cumulative_count >= rank);
    if let Some(milliseconds) = found.and_then(bound) {
        return format!("{milliseconds} ms");
    }
    let last = times.buckets.iter().filter_map(bound).next_back().unwrap_or_default();
    format!("> {last} ms")
}

#[cfg(test)]
mod tests {
    use super::*;
    use enid_api::v1::{PreparedSlots, SetupStage, TimeBucket};

    fn times(counts: [u64; 3]) -> TimeHistogram {
        let bounds = [Some(0.000_25), Some(0.005), None];
        let (mut buckets, mut count) = (Vec::new(), 0);
        for (upper_bound_seconds, more) in bounds.into_iter().zip(counts) {
            count += more;
            buckets.push(TimeBucket { upper_bound_seconds, cumulative_count: count });
        }
        TimeHistogram { buckets, count, sum_seconds: 1.0 }
    }

    #[test]
    fn a_time_is_its_buckets_bound() {
        let stage = |name: &str, waited, ran| SetupStage {
            stage: name.to_owned(),
            limit: 4,
            running: 2,
            waiting: 30,
            admitted: 1_200,
            given_up: 1,
            waited: Some(times(waited)),
            ran: Some(times(ran)),
        };
        let response = SetupTimesResponse {
            stages: vec![stage("create", [98, 2, 0], [50, 49, 1]), stage("link", [1, 2, 2], [0, 0, 0])],
            prepared_slots: vec![PreparedSlots { vpc_id: "vpc-1".to_owned(), ready: 7, wanted: 8 }],
        };
        assert_eq!(
            table(&response),
            "STAGE   LIMIT  RUNNING  WAITING  ADMITTED  GIVEN UP   WAITED    99 %      RAN  99 %\n\
             create      4        2       30     1,200         1  0.25 ms    5 ms  0.25 ms  5 ms\n\
             link        4        2       30     1,200         1     5 ms  > 5 ms        -     -\n\
             \n\
             vpc-1: 7 of 8 slots are ready\n"
        );
    }
}
