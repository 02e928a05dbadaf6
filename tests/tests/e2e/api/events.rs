//! Events as a stream.

use std::time::Duration;

use enid_api::Client;
use enid_api::v1::{CountersRequest, Event, WatchRequest};
use enid_testbed::traffic::udp;
use enid_testbed::{DEADLINE, Host, HostOptions, new_task, wait_until};
use tokio::time::timeout;
use tonic::Code;

use crate::ledger::flush;
use crate::networks::{NETWORKS, host, host_as, inside, ipv4};

/// The events until one that `is_last`, of what `work` does once they are watched.
fn watch(
    host: &Host,
    request: WatchRequest,
    work: impl FnOnce() + Send,
    is_last: impl Fn(&Event) -> bool,
) -> Vec<Event> {
    std::thread::scope(|scope| {
        let (watching, begun) = std::sync::mpsc::channel();
        scope.spawn(move || {
            begun.recv().unwrap();
            work();
        });
        host.converse(async |client| {
            let mut stream = client.events().watch(request).await?.into_inner();
            let first = stream.message().await?.unwrap();
            assert_eq!(first.kind, "watching");
            watching.send(()).unwrap();
            let mut events: Vec<Event> = Vec::new();
            while !events.last().is_some_and(&is_last) {
                let next = timeout(Duration::from_secs(20), stream.message()).await;
                events.push(next.expect("another event")?.expect("a stream that goes on"));
            }
            Ok(events)
        })
        .unwrap()
    })
}

fn kinds(events: &[Event]) -> Vec<(&str, Option<&str>)> {
    events.iter().map(|event| (event.kind.as_str(), event.task.as_deref())).collect()
}

#[test]
fn tasks_come_go_and_fail() {
    let host = host();
    std::fs::write(host.netns_directory().join("file"), "").unwrap();
    let work = || {
        host.create("web", "red/a");
        // That it is there already is no event.
        host.create("web", "red/a");
        host.create_as(&new_task("file", "red/a")).unwrap_err();
        assert!(host.delete("web"));
        assert!(!host.delete("web"));
        host.create("last", "red/a");
    };
    let events = watch(&host, WatchRequest::default(), work, |event| {
        event.kind == "task-ready" && event.task.as_deref() == Some("last")
    });
    assert_eq!(
        kinds(&events),
        [
            ("task-created", Some("web")),
            ("task-ready", Some("web")),
            ("task-created", Some("file")),
            ("task-failed", Some("file")),
            ("task-deleted", Some("web")),
            ("task-created", Some("last")),
            ("task-ready", Some("last")),
        ]
    );
    assert!(events.windows(2).all(|pair| pair[0].sequence + 1 == pair[1].sequence), "{events:?}");
    assert!(events[3].details[0].contains("exists already"), "{events:?}");
    assert_eq!(events[0].eni_id, events[4].eni_id);
    std::fs::remove_file(host.netns_directory().join("file")).unwrap();
}

#[test]
fn rules_change_and_watchers_choose() {
    let host = host();
    let more = NETWORKS.replace(
        "{ name = \"g1\" }",
        "{ name = \"g1\", ingress = [{ protocol = \"all\", cidr = \"0.0.0.0/0\" }] }",
    );
    let work = || {
        host.create("web", "red/a");
        // Nothing changes.
        host.apply(NETWORKS);
        host.apply(&more);
    };
    let request = WatchRequest { kinds: vec!["policy-changed".to_owned()], task: None };
    let events = watch(&host, request, work, |_| true);
    assert_eq!(kinds(&events), [("policy-changed", None)]);
    assert!(events[0].details.iter().any(|change| change.contains("g1")), "{events:?}");

    let request = WatchRequest { kinds: Vec::new(), task: Some("one".to_owned()) };
    let work = || {
        host.create("other", "red/a");
        host.create("one", "red/a");
    };
    let events = watch(&host, request, work, |event| event.kind == "task-ready");
    assert_eq!(kinds(&events), [("task-created", Some("one")), ("task-ready", Some("one"))]);

    let request = WatchRequest { kinds: vec!["task-gone".to_owned()], task: None };
    let refused = host.call(async |client| client.events().watch(request).await).unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("task-deleted"), "{}", refused.message());
}

#[test]
fn a_table_that_fills_is_told() {
    let host = host_as(&HostOptions { flow_capacity: 64, flows_per_eni: Some(64), ..HostOptions::default() });
    let (web, peer) = (host.create("web", "red/a"), host.create("peer", "red/b"));
    let work = || {
        let socket = udp(&inside(&web), ipv4(&web), 5000);
        for port in 1..=60 {
            socket.send_to(b"x", (ipv4(&peer), port)).unwrap();
        }
        let entries = || {
            let request = CountersRequest { task: None };
            let answer = host.call(async |client| client.flows().counters(request).await);
            answer.unwrap().flow_table.unwrap().entries
        };
        assert!(wait_until(DEADLINE, || entries() >= 48));
        // It is looked at when an interval ends.
        flush(&host);
    };
    let events = watch(&host, WatchRequest::default(), work, |_| true);
    assert_eq!(kinds(&events), [("flow-table-filling", None)]);
    assert!(events[0].details[0].ends_with("of 64 entries in use"), "{events:?}");
}

#[test]
fn a_daemon_that_stops_ends_the_stream() {
    let mut host = host();
    let socket = host.socket();
    let (watching, begun) = std::sync::mpsc::channel();
    let watcher = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let client = Client::connect(socket).await.unwrap();
            let mut stream = client.events().watch(WatchRequest::default()).await.unwrap().into_inner();
            while stream.message().await.unwrap().is_some() {
                watching.send(()).unwrap();
            }
        });
    });
    begun.recv().unwrap();
    host.stop_daemon();
    watcher.join().unwrap();
}
