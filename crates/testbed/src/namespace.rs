//! Working inside network namespaces.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a step that fails panics, since a test wants to know where it failed"
)]

use std::panic::resume_unwind;
use std::path::Path;
use std::process::{Command, Output};
use std::thread;

use enid_netns::{Namespace, NetnsError};

use crate::floor::enter_namespace;

/// Seconds that a command may take: as long as [`DEADLINE`](crate::DEADLINE).
const COMMAND_SECONDS: &str = "30";

/// Makes a namespace with `lo` up, bound to `path`.
pub fn create(path: &Path) -> Namespace {
    let (namespace, ()) = Namespace::create::<_, NetnsError>(|| Ok(())).expect("make a network namespace");
    namespace.bind(path).expect("bind a network namespace");
    command(&namespace, &["ip", "link", "set", "lo", "up"]);
    namespace
}

/// Opens the namespace that is bound to `path`.
pub fn open(path: impl AsRef<Path>) -> Namespace {
    Namespace::open(path.as_ref()).expect("open a network namespace")
}

/// Runs `work` inside a namespace, on a thread of its own. A panic in there is one out here.
///
/// Sockets that `work` opens and returns stay in the namespace; programs that it starts run there.
pub fn inside<T: Send>(namespace: &Namespace, work: impl FnOnce() -> T + Send) -> T {
    let entered = || {
        enter_namespace(namespace).expect("enter a network namespace");
        work()
    };
    thread::scope(|scope| scope.spawn(entered).join().unwrap_or_else(|panic| resume_unwind(panic)))
}

/// Runs a program inside a namespace, for at most as long as [`DEADLINE`](crate::DEADLINE).
pub fn output(namespace: &Namespace, arguments: &[&str]) -> Output {
    let mut command = Command::new("timeout");
    command.arg(COMMAND_SECONDS).args(arguments);
    inside(namespace, move || command.output()).unwrap_or_else(|error| panic!("{arguments:?}: {error}"))
}

/// Runs a program that must succeed inside a namespace, and returns its standard output.
#[track_caller]
pub fn command(namespace: &Namespace, arguments: &[&str]) -> String {
    let output = output(namespace, arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?} failed, {}: {stderr}", output.status);
    String::from_utf8(output.stdout).expect("text")
}
