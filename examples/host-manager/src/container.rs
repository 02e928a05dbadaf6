//! The container, under containerd, in the task's network namespace.

use std::path::Path;
use std::process::{ExitStatus, Stdio};

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::image::Pulled;

/// What is to run.
pub(crate) struct Container<'a> {
    pub(crate) containerd: &'a Path,
    pub(crate) id: &'a str,
    pub(crate) netns: &'a str,
    pub(crate) environment: Vec<String>,
    pub(crate) command: &'a [String],
}

/// A container that runs.
pub(crate) struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Container<'_> {
    /// Gives containerd the image, and starts the container.
    pub(crate) async fn start(&self, image: &Pulled) -> anyhow::Result<Running> {
        let imported =
            self.ctr(&["images", "import"]).arg(&image.archive).stdout(Stdio::null()).status().await?;
        ensure!(imported.success(), "containerd does not take the image");
        let mut run = self.ctr(&["run", "--rm"]);
        run.arg("--with-ns").arg(format!("network:{}", self.netns));
        for variable in &self.environment {
            run.args(["--env", variable]);
        }
        run.args([image.name.as_str(), self.id]).args(self.command);
        let mut child = run.stdout(Stdio::piped()).kill_on_drop(true).spawn().context("run ctr")?;
        let output = child.stdout.take().context("ctr has no output")?;
        Ok(Running { child, lines: BufReader::new(output).lines() })
    }

    fn ctr(&self, arguments: &[&str]) -> Command {
        let mut ctr = Command::new("ctr");
        ctr.arg("--address").arg(self.containerd).args(["--namespace", "enid"]).args(arguments);
        ctr
    }
}

impl Running {
    /// The next line that it prints; none when it has ended.
    pub(crate) async fn next_line(&mut self) -> anyhow::Result<Option<String>> {
        Ok(self.lines.next_line().await?)
    }

    /// Waits until it has ended.
    pub(crate) async fn wait(mut self) -> anyhow::Result<ExitStatus> {
        Ok(self.child.wait().await?)
    }
}
