//! The daemon stops and starts: tasks, their traffic and its count go on.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;

use enid_api::v1::{FollowRequest, Task};
use enid_flowlog::Direction;
use enid_testbed::traffic::{accept, ping, send_datagrams, tcp_connect, tcp_listen, udp};
use enid_testbed::{DEADLINE, DaemonKind, Host, HostOptions, wait_until};

use crate::kernel::assert_only_listed_tasks;
use crate::ledger::{assert_closed, assert_nothing_pending, flush, records, to_port, total};
use crate::networks::{host, host_as, inside, ipv4, ipv6, number};

/// A connection between two tasks that a daemon's end must not be noticed on.
struct Connection {
    near: TcpStream,
    far: TcpStream,
}

impl Connection {
    #[track_caller]
    fn open(from: &Task, to: &Task) -> Self {
        let address = SocketAddr::new(ipv6(to), 8080);
        let listener = tcp_listen(&inside(to), address.ip(), address.port());
        let near = tcp_connect(&inside(from), address);
        let (far, _) = accept(&listener);
        Self { near, far }
    }

    /// Sends a mebibyte there, and a byte back.
    #[track_caller]
    fn send(&mut self) {
        let (near, far) = (&mut self.near, &mut self.far);
        thread::scope(|scope| {
            scope.spawn(|| near.write_all(&vec![3; 1 << 20]).unwrap());
            far.read_exact(&mut vec![0; 1 << 20]).unwrap();
        });
        self.far.write_all(&[4]).unwrap();
        self.near.read_exact(&mut [0]).unwrap();
    }
}

/// Ends the daemon and starts it again, with traffic before, meanwhile and after.
#[track_caller]
fn assert_nothing_is_lost(mut host: Host, end: fn(&mut Host)) {
    let (a, b) = (host.create("a", "red/a"), host.create("b", "red/b"));
    let tasks = host.tasks();
    let (near, far) = (udp(&inside(&a), ipv4(&a), 5000), udp(&inside(&b), ipv4(&b), 5001));
    let mut connection = Connection::open(&a, &b);
    let mut count_sent = 0;
    let mut send = |count: usize| {
        send_datagrams(&near, &far, count, 72);
        connection.send();
        count_sent += count as u64;
        count_sent
    };
    for round in 0..3 {
        send(5);
        if round == 1 {
            flush(&host);
            send(1);
        }
        end(&mut host);
        send(7);
        host.start_daemon();
        assert_eq!(host.tasks(), tasks);
        assert_closed(&host);
        let all = send(3);
        flush(&host);
        assert_closed(&host);
        assert_nothing_pending(&host);
        let records = records(&host);
        assert_eq!(total(&records, "a", Direction::Egress, to_port(17, 5001)), (all, 100 * all));
        assert_eq!(total(&records, "b", Direction::Ingress, to_port(17, 5001)), (all, 100 * all));
        let of_tcp = |task, direction| total(&records, task, direction, to_port(6, 8080));
        assert_eq!(of_tcp("a", Direction::Egress), of_tcp("b", Direction::Ingress));
        assert!(of_tcp("a", Direction::Egress).1 > (3 * (round + 1)) << 20);
    }
    // What was there can be deleted, and what is new is new.
    let new = host.create("new", "red/a");
    assert!(number(&new) > number(&a).max(number(&b)));
    assert!(ping(&inside(&new), ipv4(&b), 1, 56));
    assert_eq!(host.create("a", "red/a"), a);
    assert!(host.delete("a"));
    assert_only_listed_tasks(&host);
}

#[test]
fn a_stop_loses_no_packet_and_no_count() {
    assert_nothing_is_lost(host(), Host::stop_daemon);
}

#[test]
fn a_termination_loses_no_packet_and_no_count() {
    let options = HostOptions { daemon: DaemonKind::Process, ..Default::default() };
    assert_nothing_is_lost(host_as(&options), Host::stop_daemon);
}

#[test]
fn a_kill_loses_no_packet_and_no_count() {
    let options = HostOptions { daemon: DaemonKind::Process, ..Default::default() };
    assert_nothing_is_lost(host_as(&options), Host::kill_daemon);
}

#[test]
fn a_stop_is_not_held_up_by_a_follower() {
    let mut host = host();
    let follower = host.call(async |client| client.flows().follow(FollowRequest {}).await).unwrap();
    // It fails unless the daemon is gone by the deadline.
    host.stop_daemon();
    drop(follower);
    host.start_daemon();
}

#[test]
fn what_a_delete_left_goes_after_a_restart() {
    let mut host = host();
    for round in 0..5 {
        host.create("web", "red/a");
        host.create(&format!("stays-{round}"), "red/a");
        host.delete("web");
        // At once: its link waits to be taken away.
        host.restart_daemon();
        assert_only_listed_tasks(&host);
    }
    assert_eq!(host.tasks().len(), 5);
}

#[test]
fn what_broke_while_the_daemon_was_away_can_be_deleted() {
    let mut host = host();
    let (gone, whole) = (host.create("gone", "red/a"), host.create("whole", "red/a"));
    host.stop_daemon();
    rustix::mount::unmount(&*gone.netns, rustix::mount::UnmountFlags::DETACH).unwrap();
    std::fs::remove_file(&gone.netns).unwrap();
    host.start_daemon();
    assert_eq!(host.tasks().len(), 2);
    assert!(ping(&inside(&whole), "10.0.0.1".parse().unwrap(), 1, 56));
    assert!(host.delete("gone"));
    assert_only_listed_tasks(&host);
    host.create("gone", "red/a");
    assert!(ping(&inside(&whole), "10.0.0.1".parse().unwrap(), 1, 56));
}

#[test]
fn a_host_that_lost_everything_but_its_state_starts_afresh() {
    let mut host = host();
    host.create("web", "shop/a");
    host.stop_daemon();
    // A reboot: what is in memory is gone, declared networks and records stay.
    assert_eq!(host.purge().len(), 0);
    assert_eq!(host.leftovers(), [""; 0].map(std::path::PathBuf::from));
    host.start_daemon();
    assert_eq!(host.tasks(), []);
    assert_eq!(host.apply(crate::networks::NETWORKS), [""; 0]);
    host.create("web", "shop/a");
    assert_closed(&host);
}

#[test]
fn a_second_daemon_on_the_same_directories_is_refused() {
    let host = host();
    host.create("web", "red/a");
    let mut command = std::process::Command::new(enid_testbed::program("enid"));
    command.arg("serve").arg("--config").arg(host.folder().join("enid.toml"));
    command.arg("--run-dir").arg(host.run_directory()).arg("--state-dir").arg(host.state_directory());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("in use by another enid"), "{said}");
    assert!(wait_until(DEADLINE, || host.tasks().len() == 1));
}
