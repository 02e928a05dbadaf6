//! containerd, by hand: a process with folders of its own.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use enid_testbed::namespace::inside;
use enid_testbed::{DEADLINE, Host, wait_until};

use super::runtime::{Folders, output, run};

/// A containerd that runs on a host.
pub(crate) struct Containerd<'h> {
    pub(crate) host: &'h Host,
    pub(crate) folders: &'h Folders,
    process: Child,
}

impl<'h> Containerd<'h> {
    /// Starts it.
    #[track_caller]
    pub(crate) fn start(host: &'h Host, folders: &'h Folders) -> Self {
        let root = &folders.root;
        let configuration = format!(
            r#"
version = 2
root = "{root}/root"
state = "{root}/state"
[grpc]
address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "localhost/busybox:1"
netns_mounts_under_state_dir = true
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{plugins}"
conf_dir = "{lists}"
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "native"
"#,
            root = root.display(),
            socket = socket(folders).display(),
            plugins = folders.plugins.display(),
            lists = folders.lists.display(),
        );
        let file = root.join("containerd.toml");
        fs::write(&file, configuration).unwrap();
        let log = File::create(root.join("containerd.log")).unwrap();
        let mut command = Command::new("containerd");
        command.arg("--config").arg(file).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let process =
            inside(host.namespace(), || command.spawn()).expect("containerd: scripts/setup test installs it");
        let containerd = Self { host, folders, process };
        let answers = || output(host, containerd.ctr("default").arg("version")).status.success();
        assert!(wait_until(DEADLINE, answers), "{}", containerd.log());
        containerd
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> PathBuf {
        socket(self.folders)
    }

    /// Its command line, with arguments to follow.
    pub(crate) fn ctr(&self, namespace: &str) -> Command {
        let mut command = Command::new("ctr");
        command.arg("--address").arg(self.socket()).args(["--namespace", namespace]);
        command
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folders.root.join("containerd.log")).unwrap_or_default()
    }

    /// Ends a container's process, if it has one.
    pub(crate) fn kill(&self, namespace: &str, container: &str) {
        output(self.host, self.ctr(namespace).args(["task", "kill", "--signal", "KILL", container]));
    }

    fn tasks(&self, namespace: &str) -> Vec<String> {
        let list = run(self.host, self.ctr(namespace).args(["task", "list", "--quiet"]));
        list.lines().map(str::to_owned).collect()
    }
}

fn socket(folders: &Folders) -> PathBuf {
    folders.root.join("containerd.sock")
}

impl Drop for Containerd<'_> {
    fn drop(&mut self) {
        // Its shims and containers would outlive it.
        for namespace in ["default", "k8s.io"] {
            for task in self.tasks(namespace) {
                output(self.host, self.ctr(namespace).args(["task", "delete", "--force", &task]));
            }
        }
        // One that ended already is what is wanted.
        let _ = rustix::process::kill_process(
            rustix::process::Pid::from_child(&self.process),
            rustix::process::Signal::TERM,
        );
        let _ = self.process.wait();
    }
}
