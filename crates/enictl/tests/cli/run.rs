//! `enictl run`: needs root, to make a network namespace and a cgroup, and fails without.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use enid_api::v1::PrepareRunResponse;

use crate::daemon::{Answers, Daemon};
use crate::{Folder, read, unique_name};

/// A network namespace under the name that iproute2 knows.
struct Netns(String);

impl Netns {
    fn new() -> Self {
        let netns = Self(unique_name());
        netns.ip("add");
        netns
    }

    fn ip(&self, verb: &str) {
        let status = Command::new("ip").args(["netns", verb, &self.0]).status().unwrap();
        assert!(status.success(), "ip netns {verb} needs root");
    }

    fn path(&self) -> String {
        format!("/run/netns/{}", self.0)
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        self.ip("delete");
    }
}

/// A cgroup below the root of the unified hierarchy.
struct Cgroup(PathBuf);

impl Cgroup {
    fn new() -> Self {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        // Every kernel that enid runs on has cgroup v2 mounted somewhere.
        let unified = mounts
            .lines()
            .map(|line| line.split(' ').collect::<Vec<_>>())
            .find(|fields| fields[2] == "cgroup2")
            .unwrap();
        let path = PathBuf::from(unified[1]).join(unique_name());
        fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

const HOSTS: &str = "192.0.2.1 from-the-task\n";

/// A server that sends every command to one task.
struct Task {
    daemon: Daemon,
    netns: Netns,
    cgroup: Cgroup,
    _etc: Folder,
}

impl Task {
    fn new() -> Self {
        let (netns, cgroup, etc) = (Netns::new(), Cgroup::new(), Folder::new());
        etc.file("hosts", HOSTS);
        etc.file("no-host-has-this-file", "");
        let daemon = Daemon::start(Answers {
            place: PrepareRunResponse {
                netns: netns.path(),
                cgroup: Some(cgroup.0.to_str().unwrap().to_owned()),
                etc: Some(etc.0.to_str().unwrap().to_owned()),
            },
            ..Answers::default()
        });
        Self { daemon, netns, cgroup, _etc: etc }
    }

    fn command(&self, command: &[&str]) -> Command {
        let mut run = self.daemon.enictl(&["run", "web", "--class", "logs", "--"]);
        run.args(command);
        run
    }

    fn shell(&self, script: &str) -> Command {
        self.command(&["sh", "-c", script])
    }

    fn stdout(&self, script: &str) -> String {
        let (code, stdout, stderr) = read(&self.shell(script).output().unwrap());
        assert_eq!((code, &*stderr), (0, ""));
        stdout
    }
}

#[test]
fn the_command_is_in_the_task() {
    let task = Task::new();
    let inode = fs::metadata(task.netns.path()).unwrap().ino();
    assert_eq!(task.stdout("stat -Lc %i /proc/self/ns/net"), format!("{inode}\n"));
    let cgroup = task.cgroup.0.file_name().unwrap().to_str().unwrap();
    assert_eq!(task.stdout("grep ^0:: /proc/self/cgroup"), format!("0::/{cgroup}\n"));
    let hosts_before = fs::read_to_string("/etc/hosts").unwrap();
    assert_eq!(task.stdout("cat /etc/hosts"), HOSTS);
    assert_eq!(fs::read_to_string("/etc/hosts").unwrap(), hosts_before);
    // What is mounted below /sys is still there.
    assert_eq!(
        task.stdout(&format!("ls -d {}", task.cgroup.0.display())),
        format!("{}\n", task.cgroup.0.display())
    );
}

#[test]
fn exit_code_signal_streams_and_process_are_the_commands() {
    let task = Task::new();
    assert_eq!(task.shell("exit 7").status().unwrap().code(), Some(7));
    assert_eq!(task.shell("kill -TERM $$").status().unwrap().signal(), Some(15));

    let mut child = task
        .shell("echo $$; cat; echo error >&2")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"input").unwrap();
    let pid = child.id();
    let result = read(&child.wait_with_output().unwrap());
    assert_eq!(result, (0, format!("{pid}\ninput"), "error\n".to_owned()));
}

#[test]
fn signals_are_as_they_were_and_a_broken_pipe_kills() {
    let task = Task::new();
    let signals = task.stdout("grep -E 'SigBlk|SigIgn' /proc/self/status");
    let own = fs::read_to_string("/proc/self/status").unwrap();
    let of_the_tests = |name: &str| {
        let line = own.lines().find(|line| line.starts_with(name)).unwrap();
        u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap()
    };
    let sigpipe = 1 << (13 - 1);
    // The C library uses 32 and 33 itself: spawning a process has it ignore them.
    let standard = (1 << 31) - 1;
    for line in signals.lines() {
        let (name, set) = line.split_once(":\t").unwrap();
        let set = u64::from_str_radix(set, 16).unwrap();
        assert_eq!(set & standard, of_the_tests(name) & standard & !sigpipe, "{line}");
    }
}

#[test]
fn a_command_that_cannot_be_run_ends_as_in_a_shell() {
    let task = Task::new();
    for (command, code, said) in
        [("no-such-command", 127, "No such file or directory"), ("/etc/hosts", 126, "Permission denied")]
    {
        let (found, stdout, stderr) = read(&task.command(&[command]).output().unwrap());
        assert_eq!((found, &*stdout), (code, ""));
        let expected = format!("enictl: {command} can't be run: {said}");
        assert!(stderr.starts_with(&expected), "{stderr}");
        assert_eq!(stderr.lines().count(), 1);
    }
}

#[test]
fn a_place_that_is_gone_is_named() {
    let daemon = Daemon::start(Answers {
        place: PrepareRunResponse {
            cgroup: Some("/nonexistent/cgroup".into()),
            ..PrepareRunResponse::default()
        },
        ..Answers::default()
    });
    let (code, _, stderr) = daemon.output(&["run", "web", "--class", "logs", "--", "true"]);
    assert_eq!(code, 1);
    assert_eq!(
        stderr,
        "enictl: the cgroup /nonexistent/cgroup can't be joined: No such file or directory (os error 2)\n"
    );
}
