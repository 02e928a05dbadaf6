//! What becomes of dials when a task goes, a caller goes, or the daemon does; and that nothing is left.

use std::fs;
use std::time::{Duration, Instant};

use enid_api::dial::Channel;
use enid_api::dial::wire::{ErrorCode, Family, Protocol, Request};
use enid_testbed::traffic::{accept, tcp_listen};
use enid_testbed::{DEADLINE, DaemonKind, Host, HostOptions, namespace, wait_until};

use rustix::net::AddressFamily;
use rustix::net::sockopt::socket_domain;
use rustix::process::{PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use super::{SOON, dialer, refusal};
use crate::networks::{host, host_as, inside, ipv4};

/// A task in whose namespace SYNs to port 80 come to nothing.
fn silent(host: &Host) -> String {
    let peer = host.create("silent", "red/b");
    let rules = "add table inet t; add chain inet t i { type filter hook input priority 0; }; add rule inet t i tcp dport 80 drop";
    namespace::command(&inside(&peer), &["nft", rules]);
    ipv4(&peer).to_string()
}

fn request(id: u64, to: &str) -> Vec<u8> {
    let request = Request {
        id,
        task: "web".to_owned(),
        host: Some(to.to_owned()),
        port: Some(80),
        timeout_ms: Some(60_000),
        ..Request::default()
    };
    serde_json::to_vec(&request).unwrap()
}

/// Open sockets of a process, but for netlink's, of which namespaces that are made ahead have some; and its threads that make
/// sockets.
fn held(process: rustix::process::Pid) -> (usize, usize) {
    let folder = format!("/proc/{}", process.as_raw_nonzero());
    let threads = fs::read_dir(format!("{folder}/task")).unwrap().flatten().filter(|thread| {
        fs::read_to_string(thread.path().join("comm")).is_ok_and(|name| name.trim() == "enid-dial")
    });
    let itself = pidfd_open(process, PidfdFlags::empty()).unwrap();
    let sockets = fs::read_dir(format!("{folder}/fd")).unwrap().flatten().filter(|file| {
        let number = file.file_name().to_string_lossy().parse().unwrap();
        // One that is closed meanwhile, or no socket, is none.
        pidfd_getfd(&itself, number, PidfdGetfdFlags::empty())
            .and_then(socket_domain)
            .is_ok_and(|domain| domain != AddressFamily::NETLINK)
    });
    (sockets.count(), threads.count())
}

#[test]
fn a_task_that_is_deleted_ends_its_pending_dials() {
    let host = host();
    host.create("web", "red/a");
    let to = silent(&host);
    let web = dialer(&host, "web").timeout(Duration::from_mins(1));
    let began = Instant::now();
    let (dialed, ()) = host.wait(async {
        tokio::join!(web.connect(&to, 80), async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let mut tasks = enid_api::Client::connect(host.socket()).await.unwrap().tasks();
            let request = enid_api::v1::DeleteTaskRequest { name: "web".to_owned(), ..Default::default() };
            tasks.delete(request).await.unwrap();
        })
    });
    let (code, message) = refusal(dialed);
    assert_eq!((code, message.as_str()), (ErrorCode::TaskDeleted, "task web was deleted"));
    assert!(began.elapsed() < SOON);
    // The name may be another's: it is another's.
    let peer = host.create("peer", "red/b");
    let listener = tcp_listen(&inside(&peer), ipv4(&peer), 8000);
    let web = host.create("web", "red/a");
    let stream = host.wait(dialer(&host, "web").connect(&ipv4(&peer).to_string(), 8000)).unwrap();
    assert_eq!(stream.local_addr().unwrap().ip(), ipv4(&web));
    drop(accept(&listener));
}

#[test]
fn nothing_is_left_of_dials_and_of_callers_that_died() {
    let mut host = host_as(&HostOptions { daemon: DaemonKind::Process, ..HostOptions::default() });
    let to = silent(&host);
    // What a first task needs of the daemon stays.
    host.create("web", "red/a");
    host.wait(dialer(&host, "web").connect("localhost", 1)).unwrap_err();
    assert!(host.delete("web"));
    let daemon = host.daemon_process();
    let mut before = (0, 1);
    assert!(wait_until(DEADLINE, || {
        let now = held(daemon);
        let is_settled = now == before && now.1 == 0;
        before = now;
        is_settled
    }));
    host.create("web", "red/a");
    let peer = host.create("peer", "red/b");
    let listener = tcp_listen(&inside(&peer), ipv4(&peer), 8000);
    host.wait(async {
        let web = dialer(&host, "web");
        let hasty = dialer(&host, "web").timeout(Duration::from_millis(20));
        for _ in 0..50 {
            drop(web.connect(&ipv4(&peer).to_string(), 8000).await.unwrap());
            drop(accept(&listener));
            web.connect(&ipv4(&peer).to_string(), 8001).await.unwrap_err();
            hasty.connect("no.such.name", 8001).await.unwrap_err();
        }
    });
    host.wait(async {
        // Callers that ask and go, and such that are there and say nothing.
        let mut mute = Vec::new();
        for number in 0..50 {
            let caller = Channel::connect(&host.dial_socket()).unwrap();
            caller.send(&request(number, &to), &[]).await.unwrap();
            mute.push(Channel::connect(&host.dial_socket()).unwrap());
        }
    });
    assert!(wait_until(DEADLINE, || held(daemon).0 <= before.0 + 10), "{:?} {before:?}", held(daemon));
    assert!(host.delete("web") && host.delete("peer"));
    assert!(wait_until(DEADLINE, || held(daemon) == before), "{:?} was {before:?}", held(daemon));
    host.stop_daemon();
}

#[test]
fn sockets_made_ahead_are_of_their_class_and_the_conversation_ends_with_the_task() {
    let host = host();
    host.create("web", "red/a");
    let peer = host.create("peer", "red/b");
    let listener = tcp_listen(&inside(&peer), ipv4(&peer), 8000);
    let caller = host.wait(async { Channel::connect(&host.dial_socket()).unwrap() });
    let request = Request {
        id: 9,
        task: "web".to_owned(),
        class: Some("efs".to_owned()),
        sockets: Some(16),
        family: Some(Family::Ipv4),
        protocol: Protocol::Tcp,
        ..Request::default()
    };
    let message = host.wait(async {
        caller.send(&serde_json::to_vec(&request).unwrap(), &[]).await.unwrap();
        caller.receive().await.unwrap()
    });
    assert_eq!(message.descriptors.len(), 16);
    for socket in &message.descriptors {
        rustix::net::connect(socket, &std::net::SocketAddr::new(ipv4(&peer), 8000)).unwrap();
        drop(accept(&listener));
    }
    drop(message);
    crate::ledger::flush(&host);
    crate::ledger::assert_closed(&host);
    let out = crate::ledger::counters(&host, "web").egress.unwrap();
    assert_eq!(crate::ledger::named(&out, "application"), (0, 0));
    assert!(crate::ledger::named(&out, "efs").0 >= 16 * 3);
    assert!(caller.is_quiet());
    assert!(host.delete("web"));
    assert!(host.wait(caller.receive()).unwrap().bytes.is_empty(), "the conversation has ended");
}
