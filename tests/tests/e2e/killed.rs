//! The daemon is killed at any moment: what the next one finds is whole, or goes.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use enid_testbed::traffic::{ping, send_datagrams, udp};
use enid_testbed::{DaemonKind, Host, HostOptions, new_task};

use crate::kernel::{assert_only_listed_tasks, link_names};
use crate::ledger::{assert_closed, flush, records, to_port, total};
use crate::networks::{host_as, inside, ipv4, subnet};

const ROUNDS: u64 = 12;

fn host() -> Host {
    host_as(&HostOptions { daemon: DaemonKind::Process, interval_seconds: 600, ..Default::default() })
}

/// Does `work` again and again on some threads, until the daemon has been killed, which is after `delay`; then starts
/// it again.
fn kill_during(host: &mut Host, delay: Duration, work: impl Fn(&Host, usize, u64) + Sync) {
    let killed = AtomicBool::new(false);
    let pid = host.daemon_process();
    thread::scope(|scope| {
        for caller in 0..3 {
            let (host, killed, work) = (&*host, &killed, &work);
            scope.spawn(move || {
                for round in 0.. {
                    if killed.load(Ordering::Relaxed) {
                        return;
                    }
                    work(host, caller, round);
                }
            });
        }
        // This is when the daemon is killed, not a wait for something.
        let end = Instant::now() + delay;
        while Instant::now() < end {
            thread::yield_now();
        }
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        killed.store(true, Ordering::Relaxed);
    });
    host.kill_daemon();
    host.start_daemon();
}

#[test]
fn a_kill_during_creates_leaves_nothing_half_made() {
    let mut host = host();
    host.create("first", "red/a");
    for round in 0..ROUNDS {
        // Spread over the milliseconds that a create takes.
        let delay = Duration::from_micros(3_000 + round * 1_700);
        kill_during(&mut host, delay, |host, caller, number| {
            // An error is the kill.
            let _ = host.create_as(&new_task(&format!("r{round}-{caller}-{number}"), "red/b"));
        });
        assert_only_listed_tasks(&host);
        let tasks = host.tasks();
        let available = subnet(&host, "red/b").available_ipv4_addresses.unwrap();
        assert_eq!(available as usize, 251 - (tasks.len() - 1));
        for task in tasks {
            assert_eq!(link_names(&inside(&task)), ["lo", "eth0"]);
            assert!(ping(&inside(&task), "10.0.0.1".parse().unwrap(), 1, 56), "{}", task.name);
            if task.name != "first" {
                assert!(host.delete(&task.name));
            }
        }
    }
    assert_only_listed_tasks(&host);
    assert_closed(&host);
}

#[test]
fn a_kill_during_deletes_leaves_nothing_half_gone() {
    let mut host = host();
    for round in 0..ROUNDS {
        for caller in 0..3 {
            for number in 0..8 {
                host.create(&format!("t{caller}-{number}"), "red/a");
            }
        }
        let delay = Duration::from_micros(1_000 + round * 900);
        kill_during(&mut host, delay, |host, caller, number| {
            let _ = host.try_delete(&format!("t{caller}-{number}"));
        });
        assert_only_listed_tasks(&host);
        for task in host.tasks() {
            assert!(ping(&inside(&task), "10.0.0.1".parse().unwrap(), 1, 56), "{}", task.name);
            assert!(host.delete(&task.name));
        }
    }
    assert_only_listed_tasks(&host);
    assert_eq!(subnet(&host, "red/a").available_ipv4_addresses, Some(251));
}

#[test]
fn a_kill_while_records_are_written_loses_and_doubles_none() {
    let mut host = host();
    let (a, b) = (host.create("a", "red/a"), host.create("b", "red/b"));
    let (near, far) = (udp(&inside(&a), ipv4(&a), 5000), udp(&inside(&b), ipv4(&b), 5001));
    let sent = AtomicU64::new(0);
    for round in 0..3 * ROUNDS {
        // One sends all the time, the others have written what there is.
        kill_during(&mut host, Duration::from_micros(2_000 + round * 700), |host, caller, _| {
            if caller == 0 {
                send_datagrams(&near, &far, 1, 72);
                sent.fetch_add(1, Ordering::Relaxed);
            } else {
                let _ = host.try_flush();
            }
        });
        flush(&host);
        assert_closed(&host);
        let records = records(&host);
        let egress = total(&records, "a", enid_flowlog::Direction::Egress, to_port(17, 5001));
        assert_eq!(egress.0, sent.load(Ordering::Relaxed), "round {round}");
    }
}

#[test]
fn a_kill_after_a_delete_loses_no_record() {
    let mut host = host();
    let a = host.create("a", "red/a");
    let mut sent = 0;
    for round in 0..4_u64 {
        let name = format!("b{round}");
        let b = host.create(&name, "red/b");
        let near = udp(&inside(&a), ipv4(&a), 0);
        send_datagrams(&near, &udp(&inside(&b), ipv4(&b), 5001), 5, 72);
        sent += 5;
        // What it has counted is written when its link is gone, which is a moment later: by the next daemon.
        host.delete(&name);
        host.kill_daemon();
        host.start_daemon();
        assert_only_listed_tasks(&host);
        flush(&host);
        assert_closed(&host);
        let records = records(&host);
        let of = |task: &str, direction| total(&records, task, direction, to_port(17, 5001)).0;
        assert_eq!(of(&name, enid_flowlog::Direction::Ingress), 5, "round {round}");
        assert_eq!(of("a", enid_flowlog::Direction::Egress), sent, "round {round}");
    }
}
