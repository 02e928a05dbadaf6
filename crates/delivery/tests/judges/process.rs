//! Collectors as processes of their own, and waiting for them.

use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Long, for machines under load; nothing here takes a second by itself.
const DEADLINE: Duration = Duration::from_secs(30);

/// Waits until the condition holds.
pub(crate) fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < end, "waited in vain for {what}");
        sleep(Duration::from_millis(5));
    }
}

/// A process that ends with its owner.
#[derive(Debug)]
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn start(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::null()).spawn();
        Self(child.unwrap_or_else(|error| {
            panic!("{}: {error}: scripts/setup test installs it", command.get_program().display())
        }))
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn terminate(mut self) -> ExitStatus {
        let id = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        let mut status = None;
        wait_for("the process to end", || {
            status = self.0.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a command that succeeds writes.
pub(crate) fn output(command: &mut Command) -> String {
    let program = command.get_program().display().to_string();
    let output = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}: scripts/setup test installs it"));
    let said = String::from_utf8_lossy(&output.stderr);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{program}: {}: {said}{text}", output.status);
    text
}

/// A UDP port that nobody has.
pub(crate) fn free_udp_port() -> u16 {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// A TCP port that nobody has.
pub(crate) fn free_tcp_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// Whether somebody takes connections on the port.
pub(crate) fn is_listening(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// How many octets wait in the socket on a UDP port of 127.0.0.1; none if there is no socket (proc(5), /proc/net/udp).
pub(crate) fn udp_queue(port: u16) -> Option<u64> {
    let sockets = std::fs::read_to_string("/proc/net/udp").unwrap();
    let address = format!("0100007F:{port:04X}");
    let line = sockets.lines().find(|line| line.split_whitespace().nth(1) == Some(&address))?;
    let (_, queued) = line.split_whitespace().nth(4)?.split_once(':')?;
    u64::from_str_radix(queued, 16).ok()
}

/// What `scripts/setup test` installs from PyPI.
pub(crate) fn python_packages() -> PathBuf {
    let python = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.cache/python/lib");
    let versions = std::fs::read_dir(python).expect("scripts/setup test makes .cache/python");
    let version = versions
        .map(Result::unwrap)
        .find(|entry| entry.file_name().display().to_string().starts_with("python"));
    version.expect("a Python in .cache/python/lib").path().join("site-packages")
}
