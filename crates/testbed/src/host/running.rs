//! A daemon that runs.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use enid::{Config, Daemon, Directories};
use enid_netns::Namespace;
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::oneshot;

use crate::floor::enter_namespace;
use crate::namespace::inside;
use crate::{DEADLINE, wait_until};

/// The daemon, as a thread or a process.
#[derive(Debug)]
pub(super) enum Running {
    Thread { stop: oneshot::Sender<()>, thread: JoinHandle<Result<(), String>> },
    Process(Process),
}

/// A child that does not outlive this value.
#[derive(Debug)]
pub(super) struct Process(Child);

impl Running {
    pub(super) fn thread(
        namespace: &Namespace,
        config: &Path,
        directories: &Directories,
    ) -> Result<Self, String> {
        let namespace = namespace.as_fd().try_clone_to_owned().expect("a descriptor");
        let config = Config::read(config).map_err(|error| error.to_string())?;
        let directories = directories.clone();
        let (stop, stopped) = oneshot::channel();
        let (started, outcome) = mpsc::channel();
        let thread = thread::Builder::new().name("enid".to_owned()).spawn(move || {
            enter_namespace(&namespace).map_err(|error| error.to_string())?;
            // Its threads start in the namespace of the one that starts them.
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
            runtime.map_err(|error| error.to_string())?.block_on(async {
                let daemon = Daemon::start(&config, &directories).await;
                let daemon = daemon.map_err(|error| error.to_string())?;
                // Whoever started it may have given up.
                let _ = started.send(());
                // A sender that is gone is as good as a message.
                let stop = async { stopped.await.unwrap_or(()) };
                daemon.serve(stop).await.map_err(|error| error.to_string())
            })
        });
        let running = Self::Thread { stop, thread: thread.expect("start a thread") };
        match outcome.recv_timeout(DEADLINE) {
            Ok(()) => Ok(running),
            Err(_) => Err(running.stop(DEADLINE).err().unwrap_or_else(|| "it ended at once".to_owned())),
        }
    }

    pub(super) fn process(
        namespace: &Namespace,
        config: &Path,
        directories: &Directories,
        log: &Path,
        environment: &[(String, String)],
    ) -> Result<Self, String> {
        let log_file = File::options().create(true).append(true).open(log).expect("open the log");
        let mut command = Command::new(program("enid"));
        command.arg("serve").arg("--config").arg(config);
        command.arg("--run-dir").arg(&directories.run).arg("--state-dir").arg(&directories.state);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log_file).env("NO_COLOR", "1");
        // Credentials that the tests' user may have are not the test's.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("AWS_")) {
            command.env_remove(name);
        }
        command.envs(environment.iter().cloned());
        let child = inside(namespace, move || command.spawn()).expect("start enid");
        let mut process = Process(child);
        let socket = directories.socket();
        let mut ended = false;
        let answers = || std::os::unix::net::UnixStream::connect(&socket).is_ok();
        wait_until(DEADLINE, || {
            ended = process.0.try_wait().expect("wait for enid").is_some();
            ended || answers()
        });
        if ended || !answers() {
            return Err(std::fs::read_to_string(log).unwrap_or_default());
        }
        Ok(Self::Process(process))
    }

    /// Stops the daemon. One that does not stop is killed, if it can be.
    pub(super) fn stop(self, deadline: Duration) -> Result<(), String> {
        match self {
            Self::Thread { stop, thread } => {
                // It may have ended by itself.
                let _ = stop.send(());
                if !wait_until(deadline, || thread.is_finished()) {
                    return Err("it still runs".to_owned());
                }
                thread.join().unwrap_or_else(|_| Err("it panicked".to_owned()))
            }
            Self::Process(mut process) => {
                kill_process(Pid::from_child(&process.0), Signal::TERM).map_err(|error| error.to_string())?;
                let mut status = None;
                wait_until(deadline, || {
                    status = process.0.try_wait().expect("wait for enid");
                    status.is_some()
                });
                match status {
                    Some(status) if status.success() => Ok(()),
                    Some(status) => Err(status.to_string()),
                    None => Err("it still runs".to_owned()),
                }
            }
        }
    }

    pub(super) fn process_id(&self) -> Pid {
        match self {
            Self::Thread { .. } => panic!("a thread can't be killed: use DaemonKind::Process"),
            Self::Process(process) => Pid::from_child(&process.0),
        }
    }

    /// Kills the daemon, which must be a process.
    pub(super) fn kill(self) {
        match self {
            Self::Thread { .. } => panic!("a thread can't be killed: use DaemonKind::Process"),
            Self::Process(process) => drop(process),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that ended already is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A program of this workspace, which must have been built with the profile of the running test: `cargo build
/// --workspace --bins`.
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("this program's path");
    // target/PROFILE/deps/TEST
    let profile = test.parent().and_then(Path::parent).expect("a target folder");
    let path = profile.join(name);
    assert!(
        path.is_file(),
        "{} is not there: run `cargo build --workspace --bins` before the tests",
        path.display()
    );
    path
}
