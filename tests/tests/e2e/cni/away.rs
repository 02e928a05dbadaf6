//! A daemon that is down, comes back, hangs, or dies under a request.

use std::io::Write as _;
use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use enid_testbed::{DEADLINE, DaemonKind, Host, HostOptions, wait_until};
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

use super::plugin::{Container, call, call_network, network, with};
use crate::kernel::{assert_only_listed_tasks, links};
use crate::networks::{host, host_as};

#[test]
fn an_add_waits_for_the_daemon_as_long_as_it_may() {
    let mut host = host();
    let container = Container::new(&host, "web");
    let configuration = network(&host, "1.1.0", "vpc", "red/a", json!({"timeoutSeconds": 1}));
    host.stop_daemon();
    let began = Instant::now();
    let (code, text) = call(&host, "ADD", &configuration, &container).error();
    assert!(code == 11 && text.contains("is `enid serve` running"), "{code} {text}");
    assert!(
        (Duration::from_millis(600)..Duration::from_secs(5)).contains(&began.elapsed()),
        "{:?}",
        began.elapsed()
    );
    call(&host, "DEL", &configuration, &container).assert_code(11);

    // It is back within the time of these.
    let configuration = network(&host, "1.1.0", "vpc", "red/a", json!({"timeoutSeconds": 30}));
    let adding = start(&configuration, &container);
    host.start_daemon();
    let output = adding.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(host.tasks().len(), 1);
    call(&host, "DEL", &configuration, &container).result();
    assert_only_listed_tasks(&host);
}

#[test]
fn a_socket_that_does_not_answer_is_given_up() {
    let host = Host::make(&HostOptions::default());
    let container = Container::new(&host, "web");
    let path = host.folder().join("silent.sock");
    let _listener = UnixListener::bind(&path).unwrap();
    let configuration =
        network(&host, "1.1.0", "vpc", "red/a", json!({"enid": {"timeoutSeconds": 1}, "socket": path}));
    for verb in ["ADD", "DEL", "CHECK"] {
        let configuration =
            with(&configuration, "prevResult", if verb == "CHECK" { json!({}) } else { json!(null) });
        let (code, text) = call(&host, verb, &configuration, &container).error();
        assert!(code == 11 && text.contains("did not answer in time"), "{verb}: {code} {text}");
    }
    call_network(&host, "STATUS", &configuration).assert_code(50);
}

#[test]
fn what_listens_and_is_not_enid_is_given_up() {
    let host = Host::make(&HostOptions::default());
    let container = Container::new(&host, "web");
    let path = host.folder().join("other.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let configuration = network(&host, "1.1.0", "vpc", "red/a", json!({"timeoutSeconds": 1, "socket": path}));
    // A web server, which ends when the listener is shut down.
    let server = listener.try_clone().unwrap();
    let serving = thread::spawn(move || {
        for mut stream in server.incoming().map_while(Result::ok) {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let (code, text) = call(&host, "ADD", &configuration, &container).error();
    assert!([11, 104].contains(&code), "{code} {text}");
    call_network(&host, "STATUS", &configuration).assert_code(50);
    rustix::net::shutdown(&listener, rustix::net::Shutdown::Both).unwrap();
    serving.join().unwrap();
}

#[test]
fn a_daemon_that_is_killed_under_requests_is_waited_for() {
    let mut host = host_as(&HostOptions { daemon: DaemonKind::Process, ..Default::default() });
    let configuration = network(&host, "1.1.0", "vpc", "red/a", json!({"timeoutSeconds": 30}));
    for round in 0..4 {
        let containers: Vec<Container> =
            (0..6).map(|number| Container::new(&host, &format!("c{round}-{number}"))).collect();
        let pid = host.daemon_process();
        thread::scope(|scope| {
            let calls: Vec<_> = containers
                .iter()
                .map(|container| {
                    let command = start(&configuration, container);
                    scope.spawn(move || command.wait_with_output().unwrap())
                })
                .collect();
            // As soon as one is made: the others are under way.
            assert!(wait_until(DEADLINE, || !host.tasks().is_empty()));
            kill_process(pid, Signal::KILL).unwrap();
            host.kill_daemon();
            host.start_daemon();
            for (call, container) in calls.into_iter().zip(&containers) {
                let output = call.join().unwrap();
                let answer = String::from_utf8_lossy(&output.stdout);
                assert!(output.status.success(), "{answer}, with {:?}", links(&container.namespace));
            }
        });
        assert_eq!(host.tasks().len(), containers.len());
        for container in &containers {
            call(&host, "DEL", &configuration, container).result();
        }
        assert_only_listed_tasks(&host);
    }
}

/// Starts an ADD.
fn start(configuration: &Value, container: &Container) -> Child {
    let mut command = Command::new(enid_testbed::program("enid-cni"));
    command.env_clear().env("CNI_COMMAND", "ADD").envs(container.variables());
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(configuration.to_string().as_bytes()).unwrap();
    child
}
