//! `enictl flush`.

use std::process::ExitCode;

use clap::Args;
use enid_api::v1::FlushRequest;

use crate::failure::Failure;
use crate::session::Session;
use crate::text::grouped;

/// Close the current aggregation interval now, and write its flow records
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  enictl flush && enictl flows --task web --since 1m")]
pub(crate) struct Flush {}

impl Flush {
    /// Returns when the records are in their files.
    pub(crate) fn execute(session: &Session) -> Result<ExitCode, Failure> {
        let response =
            session.talk(async |client| Ok(client.flows().flush(FlushRequest {}).await?.into_inner()))?;
        session.format.print(&response, |response| sentence(response.records))?;
        Ok(ExitCode::SUCCESS)
    }
}

fn sentence(records: u64) -> String {
    let plural = if records == 1 { "" } else { "s" };
    format!("{} flow record{plural} written\n", grouped(records))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_how_many() {
        assert_eq!(sentence(1), "1 flow record written\n");
        assert_eq!(sentence(1_000), "1,000 flow records written\n");
    }
}
