//! `enictl run`.

mod enter;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use enid_api::v1::PrepareRunRequest;
use enid_model::TrafficClass;

pub(crate) use enter::EnterError;

use crate::failure::Failure;
use crate::session::Session;

/// Run a command in a task's network namespace, its flows tagged with a traffic class
///
/// enictl becomes the command: exit code, signals, terminal and standard streams are the command's own. It sees the
/// task's resolv.conf and hosts in /etc; everything else of the file system is the host's. Needs root.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  enictl run web --class image-pull -- skopeo copy docker://registry:5000/app dir:app"
)]
pub(crate) struct Run {
    /// The task's name
    task: String,
    /// On whose behalf the command's flows are
    #[arg(long, value_parser = class_parser())]
    class: TrafficClass,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Takes the names of the traffic classes; usage errors and completions list them.
pub(crate) fn class_parser() -> impl TypedValueParser<Value = TrafficClass> {
    PossibleValuesParser::new(TrafficClass::ALL.map(TrafficClass::as_str))
        .try_map(|name| name.parse::<TrafficClass>())
}

impl Run {
    /// Returns only if the command could not be started.
    pub(crate) fn execute(self, session: &Session) -> Result<ExitCode, Failure> {
        let request = PrepareRunRequest { task: self.task, traffic_class: self.class.to_string() };
        // The connection and its runtime end here: what follows changes the process as a whole, and needs it to have
        // one thread.
        let place =
            session.talk(async |client| Ok(client.tasks().prepare_run(request).await?.into_inner()))?;
        Err(enter::enter_and_become(&place, &self.command).into())
    }
}
