//! `enictl doctor`.

use std::process::ExitCode;

use clap::Args;
use enid_api::v1::{DoctorRequest, DoctorResponse};

use crate::failure::Failure;
use crate::session::Session;
use crate::text::Column::Left;
use crate::text::{Pairs, Table};

/// Check what this host's kernel offers, what is missing, and what is leaked
///
/// Exits with 1 if a finding is a failure.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  enictl doctor")]
pub(crate) struct Doctor {}

impl Doctor {
    /// Prints every finding.
    pub(crate) fn execute(session: &Session) -> Result<ExitCode, Failure> {
        let response =
            session.talk(async |client| Ok(client.host().doctor(DoctorRequest {}).await?.into_inner()))?;
        session.format.print(&response, report)?;
        if response.findings.iter().any(|finding| finding.severity == "failure") {
            return Ok(ExitCode::FAILURE);
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn report(response: &DoctorResponse) -> String {
    let mut pairs = Pairs::default();
    pairs.add("enid", &response.version);
    pairs.add("kernel", &response.kernel);
    let mut table = Table::new([Left("SEVERITY"), Left("SUBJECT"), Left("FINDING")]);
    for finding in &response.findings {
        table.row([finding.severity.clone(), finding.subject.clone(), finding.detail.clone()]);
    }
    format!("{pairs}\n{}", table.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use enid_api::v1::Finding;

    #[test]
    fn every_finding_is_a_line() {
        let response = DoctorResponse {
            version: "0.1.0".into(),
            kernel: "6.12.1".into(),
            findings: vec![Finding {
                subject: "bpffs".into(),
                severity: "failure".into(),
                detail: "not mounted: mount -t bpf bpf /sys/fs/bpf".into(),
            }],
        };
        assert_eq!(
            report(&response),
            "enid    0.1.0\n\
             kernel  6.12.1\n\
             \n\
             SEVERITY  SUBJECT  FINDING\n\
             failure   bpffs    not mounted: mount -t bpf bpf /sys/fs/bpf\n"
        );
    }
}
