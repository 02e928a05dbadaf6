//! `enictl platform-version`.

use std::process::ExitCode;

use clap::Subcommand;
use enid_api::v1::{ListPlatformVersionsRequest, ListPlatformVersionsResponse, PlatformVersion};

use crate::failure::Failure;
use crate::session::Session;
use crate::text::{Column, Table, or_dash};

/// `enictl platform-version …`.
#[derive(Debug, Subcommand)]
pub(crate) enum PlatformVersionCommand {
    /// List the platform versions: their states, and which ENI carries which traffic class
    #[command(after_help = "Example:\n  enictl platform-version list")]
    List,
}

impl PlatformVersionCommand {
    /// Asks and prints.
    pub(crate) fn execute(self, session: &Session) -> Result<ExitCode, Failure> {
        let Self::List = self;
        let answer = session.talk(async |client| {
            Ok(client.host().list_platform_versions(ListPlatformVersionsRequest {}).await?.into_inner())
        })?;
        session.format.print(&answer, table)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn table(answer: &ListPlatformVersionsResponse) -> String {
    let mut table = Table::new([
        Column::Left("VERSION"),
        Column::Left("STATE"),
        Column::Left("DATE"),
        Column::Left("TASK ENI"),
        Column::Left("PLATFORM ENI"),
    ]);
    for version in &answer.platform_versions {
        table.row(row(version));
    }
    table.finish()
}

fn row(version: &PlatformVersion) -> [String; 5] {
    let latest = if version.is_latest { " (LATEST)" } else { "" };
    let classes = |classes: &[String]| if classes.is_empty() { "-".to_owned() } else { classes.join(", ") };
    [
        format!("{}{latest}", version.version),
        version.state.clone(),
        or_dash(version.date.as_ref()),
        classes(&version.task_eni),
        classes(&version.platform_eni),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_listed_with_their_classes() {
        let version = PlatformVersion {
            version: "1.3.0".to_owned(),
            state: "retired".to_owned(),
            date: Some("2026-03-01".to_owned()),
            is_latest: false,
            task_eni: vec!["application".to_owned(), "logs".to_owned()],
            platform_eni: Vec::new(),
        };
        let latest = PlatformVersion { version: "1.4.0".to_owned(), is_latest: true, ..version.clone() };
        assert_eq!(
            table(&ListPlatformVersionsResponse { platform_versions: vec![latest, version] }),
            "VERSION         STATE    DATE        TASK ENI           PLATFORM ENI\n\
             1.4.0 (LATEST)  retired  2026-03-01  application, logs  -\n\
             1.3.0           retired  2026-03-01  application, logs  -\n"
        );
    }
}
