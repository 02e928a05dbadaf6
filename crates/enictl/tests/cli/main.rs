//! The `enictl` program from outside: what it says and how it ends.
//!
//! Where a daemon must answer, a server in this process answers with fixed messages: these tests are of the command
//! line alone. The end-to-end tests of the workspace run enictl against the real daemon.

#![allow(clippy::unwrap_used, reason = "test helpers fail with a location")]

mod answers;
mod bucket;
mod daemon;
mod events;
mod flow_logs;
mod flow_places;
mod flows;
mod policy;
mod proxy;
mod run;
mod tasks;
mod usage;

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

/// The program, told of no socket by the environment.
fn enictl(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_enictl"));
    command.args(arguments).env_remove("ENID_SOCKET");
    command
}

/// Runs it to its end: exit code, standard output, standard error.
fn output(arguments: &[&str]) -> (i32, String, String) {
    read(&enictl(arguments).output().unwrap())
}

fn read(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

/// A name that no other test of any process uses.
fn unique_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("enictl-test-{}-{count}", std::process::id())
}

/// A folder that is removed with the value.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(unique_name());
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// Writes a file and returns its path.
    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path.into_os_string().into_string().unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
