//! Who may what.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use enid_testbed::{Host, HostOptions, program};
use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_gid, set_thread_groups, set_thread_uid};

/// Two groups that every Debian has: here, who may change things, and who may look.
const CHANGERS: (&str, u32) = ("operator", 37);
const READERS: (&str, u32) = ("users", 100);
const NOBODY: u32 = 65_534;

fn enictl(host: &Host, groups: &[u32], arguments: &[&str]) -> Result<String, String> {
    // Where anybody may go: build folders may be root's alone.
    let copy = host.folder().join("enictl");
    if !copy.exists() {
        std::fs::copy(program("enictl"), &copy).unwrap();
    }
    let mut command = Command::new(copy);
    command.arg("--socket").arg(host.socket()).args(arguments);
    run_as_nobody(&mut command, groups)
}

fn run_as_nobody(command: &mut Command, groups: &[u32]) -> Result<String, String> {
    let groups: Vec<Gid> = groups.iter().map(|group| Gid::from_raw(*group)).collect();
    // SAFETY: between fork and exec only system calls are made.
    unsafe {
        command.pre_exec(move || {
            set_thread_groups(&groups)?;
            set_thread_gid(Gid::from_raw(NOBODY))?;
            Ok(set_thread_uid(Uid::from_raw(NOBODY))?)
        });
    }
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// Lets anybody come as far as the socket, which a test's folder does not.
fn open_folders(host: &Host) {
    for folder in [host.folder(), host.run_directory()] {
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
fn one_group_changes_another_looks_and_the_rest_does_neither() {
    let mut host = Host::make(&HostOptions::default());
    host.configure_first(&format!("socket_group = \"{}\"\nreader_group = \"{}\"\n", CHANGERS.0, READERS.0));
    host.start_daemon();
    open_folders(&host);
    let create = ["task", "create", "web", "--subnet", "default-a"];
    let list = ["task", "list"];

    let refused = enictl(&host, &[READERS.1], &create).unwrap_err();
    assert_eq!(refused, "enictl: user 65534 may only read: root and the group `operator` may change things");
    let refused = enictl(&host, &[], &list).unwrap_err();
    assert!(refused.contains("may do nothing here"), "{refused}");

    enictl(&host, &[CHANGERS.1], &create).unwrap();
    for groups in [&[READERS.1][..], &[CHANGERS.1], &[1, 2, 3, READERS.1]] {
        assert!(enictl(&host, groups, &list).unwrap().contains("web"), "{groups:?}");
    }
    for arguments in [
        &["counters"][..],
        &["audit"],
        &["vpc", "list"],
        &["flow-log", "list"],
        &["platform-version", "list"],
        &["explain", "web", "to", "172.31.0.9", "tcp", "80"],
    ] {
        let read = enictl(&host, &[READERS.1], arguments);
        assert!(
            !read.as_ref().is_err_and(|error| error.contains("may only read")),
            "{arguments:?}: {read:?}"
        );
    }
    for arguments in [
        &["task", "delete", "web"][..],
        &["flush"],
        &["run", "web", "--class", "logs", "--", "true"],
        &["flow-log", "delete", "all"],
        &["vpc", "delete", "default"],
    ] {
        let refused = enictl(&host, &[READERS.1], arguments).unwrap_err();
        assert!(refused.contains("may only read"), "{arguments:?}: {refused}");
    }
    assert_eq!(host.tasks().len(), 1);
}

#[test]
fn without_readers_the_file_system_keeps_others_out() {
    let mut host = Host::make(&HostOptions::default());
    host.configure_first(&format!("socket_group = \"{}\"\n", CHANGERS.0));
    host.start_daemon();
    open_folders(&host);
    let refused = enictl(&host, &[READERS.1], &["task", "list"]).unwrap_err();
    assert!(refused.contains("may not be opened by this user"), "{refused}");
    assert!(enictl(&host, &[CHANGERS.1], &["task", "list"]).is_ok());
}

/// Where everybody may knock, nobody keeps the others out by knocking all the time.
#[test]
fn strangers_can_not_hold_the_door() {
    const SCRIPT: &str = r#"
import socket, sys
knocks = [socket.socket(socket.AF_UNIX) for _ in range(500)]
for knock in knocks:
    knock.settimeout(20)
    knock.connect(sys.argv[1])
turned_away = 0
for knock in knocks[16:]:
    try:
        turned_away += knock.recv(1) == b""
    except ConnectionResetError:
        turned_away += 1
print(turned_away)
"#;
    let mut host = Host::make(&HostOptions::default());
    host.configure_first(&format!("reader_group = \"{}\"\n", READERS.0));
    host.start_daemon();
    open_folders(&host);
    let mut python = Command::new("/usr/bin/python3");
    python.arg("-c").arg(SCRIPT).arg(host.socket());
    assert_eq!(run_as_nobody(&mut python, &[]), Ok("484".to_owned()));
    assert_eq!(host.tasks(), []);
    assert!(enictl(&host, &[], &["task", "list"]).unwrap_err().contains("may do nothing here"));
}

/// What the socket keeps from others, the files must not tell them.
#[test]
fn what_the_daemon_knows_is_in_files_of_its_own() {
    let host = Host::start(&HostOptions::default());
    host.create("web", "default-a");
    host.try_flush().unwrap();
    let of_others = |name: &str| {
        let metadata = std::fs::metadata(host.run_directory().join(name)).unwrap();
        metadata.permissions().mode() & 0o077
    };
    assert_eq!((of_others("run.redb"), of_others("exported")), (0, 0));
}
