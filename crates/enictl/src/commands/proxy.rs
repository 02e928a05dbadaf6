//! `enictl proxy`.

use std::ffi::OsString;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use clap::Args;
use enid_api::v1::OpenProxyRequest;
use enid_model::TrafficClass;

use super::run::class_parser;
use crate::failure::Failure;
use crate::session::Session;

/// Have a program of the host connect through a task's ENI by an HTTP proxy
///
/// With a command, enictl becomes it, with HTTPS_PROXY and its like in its environment. Without, it prints them for a shell
/// to read. The proxy closes when the task is deleted and when the daemon stops.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  enictl proxy web --class image-pull -- skopeo copy docker://registry:5000/app dir:app\n  eval \"$(enictl proxy web --class logs)\""
)]
pub(crate) struct Proxy {
    /// The task's name
    task: String,
    /// On whose behalf the connections are
    #[arg(long, value_parser = class_parser())]
    class: TrafficClass,
    /// The command and its arguments
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Of these hosts a program means its own.
const NO_PROXY: &str = "localhost,127.0.0.1,::1";

impl Proxy {
    /// Returns if there is no command, or it could not be started.
    pub(crate) fn execute(self, session: &Session) -> Result<ExitCode, Failure> {
        let request = OpenProxyRequest { task: self.task, traffic_class: self.class.to_string() };
        let url =
            session.talk(async |client| Ok(client.tasks().open_proxy(request).await?.into_inner().url))?;
        let environment = environment(&url);
        let Some((program, arguments)) = self.command.split_first() else {
            let mut out = std::io::stdout().lock();
            for (name, value) in environment {
                // What is in a URL and in names of hosts means nothing to a shell between these.
                writeln!(out, "export {name}='{value}'")?;
            }
            return Ok(ExitCode::SUCCESS);
        };
        let error = Command::new(program).args(arguments).envs(environment).exec();
        Err(Failure::Start { program: program.to_string_lossy().into_owned(), source: error })
    }
}

/// Programs read either case; curl reads http_proxy in lower case alone.
fn environment(url: &str) -> [(&'static str, &str); 6] {
    [
        ("HTTPS_PROXY", url),
        ("HTTP_PROXY", url),
        ("NO_PROXY", NO_PROXY),
        ("https_proxy", url),
        ("http_proxy", url),
        ("no_proxy", NO_PROXY),
    ]
}
