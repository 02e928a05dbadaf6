//! Traffic classes: `enictl run`.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::process::{Command, Output};
use std::thread;

use enid_flowlog::Direction;
use enid_model::TrafficClass;
use enid_testbed::traffic::{accept, tcp_connect, tcp_listen};
use enid_testbed::{DEADLINE, Host, program, wait_until};

use crate::ledger::{assert_closed, counters, flush, named, records, total};
use crate::networks::{host, inside, ipv4, ipv6};

fn run(host: &Host, task: &str, class: &str, command: &[&str]) -> Command {
    let mut enictl = Command::new(program("enictl"));
    enictl.arg("--socket").arg(host.socket()).args(["run", task, "--class", class, "--"]).args(command);
    enictl
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

/// Has a command of a class fetch `size` bytes from a listener in `task`, which sends as soon as somebody comes.
#[track_caller]
fn fetch(host: &Host, class: &str, from: IpAddr, port: u16, listening: &enid_netns::Namespace, size: usize) {
    let listener = tcp_listen(listening, from, port);
    thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, _) = accept(&listener);
            stream.write_all(&vec![7; size]).unwrap();
        });
        let script = format!("exec 3<>/dev/tcp/{from}/{port}; wc -c <&3");
        let output = run(host, "web", class, &["timeout", "20", "bash", "-c", &script]).output().unwrap();
        assert_eq!(text(&output.stdout), size.to_string(), "{class}: {}", text(&output.stderr));
    });
}

#[test]
fn both_directions_of_a_commands_flows_have_its_class() {
    let host = host();
    let (web, peer) = (host.create("web", "red/a"), host.create("peer", "red/b"));
    let in_peer = inside(&peer);
    for (number, class) in TrafficClass::ALL.iter().enumerate() {
        let port = 8000 + u16::try_from(number).unwrap();
        let size = 10_000 * (number + 1);
        fetch(&host, class.as_str(), ipv4(&peer), port, &in_peer, size);
        fetch(&host, class.as_str(), ipv6(&peer), port, &in_peer, size);
    }
    // What a task sends itself is of the application, whatever ran before.
    let listener = tcp_listen(&in_peer, ipv4(&peer), 9000);
    let mut near = tcp_connect(&inside(&web), SocketAddr::new(ipv4(&peer), 9000));
    let (mut far, _) = accept(&listener);
    near.write_all(&[1; 100]).unwrap();
    drop(near);
    far.read_to_end(&mut Vec::new()).unwrap();
    // An end that is left open may acknowledge the other's later.
    drop(far);

    flush(&host);
    assert_closed(&host);
    let records = records(&host);
    let counted = counters(&host, "web");
    let (egress, ingress) = (counted.egress.unwrap(), counted.ingress.unwrap());
    for (number, class) in TrafficClass::ALL.iter().enumerate() {
        let mut ports = vec![8000 + u16::try_from(number).unwrap()];
        ports.extend((*class == TrafficClass::Application).then_some(9000));
        let there = total(&records, "web", Direction::Egress, |record| {
            assert_ne!(record.traffic_class, None);
            record.dstport.is_some_and(|port| ports.contains(&port)) && record.traffic_class == Some(*class)
        });
        let any_class = total(&records, "web", Direction::Egress, |record| {
            record.dstport.is_some_and(|port| ports.contains(&port))
        });
        assert_eq!(there, any_class, "{class:?} out");
        assert!(there.0 > 0);
        let back = total(&records, "web", Direction::Ingress, |record| {
            record.srcport.is_some_and(|port| ports.contains(&port)) && record.traffic_class == Some(*class)
        });
        assert!(back.1 > 2 * 10_000 * (number as u64 + 1), "{class:?} back: {back:?}");
        assert_eq!(named(&egress, class.as_str()), there);
        assert_eq!(named(&ingress, class.as_str()), back);
    }
    // The peer's side of the same flows is the peer's application's.
    let of_peer = records.iter().filter(|record| record.task_name.as_deref() == Some("peer"));
    let of_peer = of_peer.filter_map(|record| record.traffic_class);
    assert!(of_peer.into_iter().all(|class| class == TrafficClass::Application));
}

#[test]
fn classes_run_side_by_side() {
    let host = host();
    host.create("web", "red/a");
    let peer = host.create("peer", "red/b");
    let classes = ["image-pull", "logs", "secrets"];
    thread::scope(|scope| {
        for (number, class) in classes.iter().enumerate() {
            let (host, peer) = (&host, &peer);
            scope.spawn(move || {
                let port = 8000 + u16::try_from(number).unwrap();
                fetch(host, class, ipv4(peer), port, &inside(peer), 300_000);
            });
        }
    });
    flush(&host);
    assert_closed(&host);
    let ingress = counters(&host, "web").ingress.unwrap();
    for class in classes {
        assert!(named(&ingress, class).1 > 300_000, "{class}: {ingress:?}");
    }
    assert_eq!(named(&ingress, "application"), (0, 0));
}

#[test]
fn a_command_runs_as_if_run_directly() {
    let host = host();
    let task = host.create("web", "red/a");
    let output = |command: &[&str]| -> Output { run(&host, "web", "exec", command).output().unwrap() };
    assert_eq!(output(&["sh", "-c", "exit 7"]).status.code(), Some(7));
    assert_eq!(output(&["/no/such/program"]).status.code(), Some(127));
    let said = output(&["sh", "-c", "echo out; echo err >&2"]);
    assert_eq!((text(&said.stdout), text(&said.stderr)), ("out".to_owned(), "err".to_owned()));
    let links = text(&output(&["ip", "-br", "link"]).stdout);
    assert!(links.contains("eth0@") && links.lines().count() == 2, "{links}");
    assert!(text(&output(&["cat", "/etc/resolv.conf"]).stdout).contains("nameserver 10.0.0.2"));
    assert!(text(&output(&["cat", "/etc/hosts"]).stdout).contains(&ipv4(&task).to_string()));
    let killed = output(&["sh", "-c", "kill -TERM $$"]);
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&killed.status), Some(15));
}

#[test]
fn the_cgroups_of_a_deleted_task_go_when_its_commands_have_ended() {
    let host = host();
    host.create("web", "red/a");
    let mut command = run(&host, "web", "logs", &["sleep", "60"]);
    let mut child = command.spawn().unwrap();
    let cgroups = || {
        let entries = std::fs::read_dir(host.cgroup_directory()).unwrap();
        entries.filter(|entry| entry.as_ref().unwrap().file_type().unwrap().is_dir()).count()
    };
    assert!(wait_until(DEADLINE, || cgroups() == 1));
    // Until the command is in its cgroup.
    let inside_cgroup = || {
        let text = std::fs::read_to_string(format!("/proc/{}/cgroup", child.id())).unwrap_or_default();
        text.contains("/logs")
    };
    assert!(wait_until(DEADLINE, inside_cgroup));
    assert!(host.delete("web"));
    // The name is free meanwhile.
    host.create("web", "red/a");
    assert_eq!(cgroups(), 1);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(wait_until(DEADLINE, || cgroups() == 0));
}
