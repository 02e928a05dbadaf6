//! What every runtime needs: plugins, a list of them, and something to run.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use enid_api::v1::Task;
use enid_flowlog::ParsedRecord;
use enid_testbed::namespace::inside;
use enid_testbed::{Host, program};
use serde_json::{Value, json};

use crate::ledger::records;

/// Seconds that a command may take.
const SECONDS: &str = "60";

/// Folders for a runtime on a host.
pub(crate) struct Folders {
    /// Everything is below it.
    pub(crate) root: PathBuf,
    /// Plugins.
    pub(crate) plugins: PathBuf,
    /// Lists of plugins.
    pub(crate) lists: PathBuf,
    /// A root file system of busybox alone.
    pub(crate) busybox: PathBuf,
}

impl Folders {
    /// Makes them, with enid's plugin and what Debian has of others.
    #[track_caller]
    pub(crate) fn make(host: &Host) -> Self {
        let root = host.folder().join("runtime");
        let [plugins, lists, busybox] = ["plugins", "lists", "busybox"].map(|name| root.join(name));
        for folder in [&plugins, &lists, &busybox] {
            fs::create_dir_all(folder).unwrap();
        }
        symlink(program("enid-cni"), plugins.join("enid-cni")).unwrap();
        for other in ["loopback", "tuning"] {
            symlink(Path::new("/usr/lib/cni").join(other), plugins.join(other)).unwrap();
        }
        for folder in ["bin", "dev", "etc", "proc", "sys", "tmp"] {
            fs::create_dir(busybox.join(folder)).unwrap();
        }
        fs::copy("/bin/busybox", busybox.join("bin/busybox")).unwrap();
        Self { root, plugins, lists, busybox }
    }

    /// Writes a list with enid's plugin, and perhaps others after it.
    pub(crate) fn write_list(&self, version: &str, enid: &Value, others: &[Value]) {
        let mut plugins = vec![enid.clone()];
        plugins.extend_from_slice(others);
        let list = json!({"cniVersion": version, "name": "vpc", "plugins": plugins});
        // In one step: runtimes watch the folder.
        let written = self.root.join("written");
        fs::write(&written, list.to_string()).unwrap();
        fs::rename(&written, self.lists.join("10-vpc.conflist")).unwrap();
    }
}

/// enid's part of a list.
pub(crate) fn enid(host: &Host, subnet: &str) -> Value {
    json!({"type": "enid-cni", "socket": host.socket(), "subnet": subnet})
}

/// Runs a command in the host's namespace, for a bounded time.
pub(crate) fn output(host: &Host, command: &Command) -> Output {
    let mut bounded = Command::new("timeout");
    bounded.arg(SECONDS).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        bounded.env(name, value.unwrap());
    }
    inside(host.namespace(), || bounded.output()).unwrap()
}

/// Runs a command that must succeed, and returns what it wrote.
#[track_caller]
pub(crate) fn run(host: &Host, command: &Command) -> String {
    let output = output(host, command);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}: {errors}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// The task of a container.
#[track_caller]
pub(crate) fn task_of(host: &Host, container: &str) -> Task {
    let tasks = host.tasks();
    let found = tasks.iter().find(|task| task.tags.get("cni:container-id").is_some_and(|id| id == container));
    found.unwrap_or_else(|| panic!("no task of {container}: {tasks:?}")).clone()
}

/// Asserts that each task has a flow record of ICMP.
#[track_caller]
pub(crate) fn assert_pinged(host: &Host, tasks: &[Task]) {
    let found = records(host);
    for task in tasks {
        let has = |record: &ParsedRecord| {
            record.task_name.as_deref() == Some(&task.name) && record.protocol == Some(1)
        };
        assert!(found.iter().any(has), "{}", task.name);
    }
}
