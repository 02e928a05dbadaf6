//! How much may be asked at once.

use std::collections::HashMap;
use std::time::Instant;

use enid_api::dial::Channel;
use enid_api::dial::wire::{Answer, ErrorCode, Request};
use enid_testbed::traffic::{accept, tcp_listen};
use enid_testbed::{Host, namespace};

use super::{SOON, dialer};
use crate::networks::{host, inside, ipv4};

fn request(id: u64, task: &str, to: &str) -> Vec<u8> {
    let request = Request {
        id,
        task: task.to_owned(),
        host: Some(to.to_owned()),
        port: Some(80),
        timeout_ms: Some(2_000),
        ..Request::default()
    };
    serde_json::to_vec(&request).unwrap()
}

/// Sends 2,000 requests over 20 connections, and says how often each code came back.
fn flood(host: &Host, task: &str, to: &str) -> HashMap<Option<ErrorCode>, usize> {
    host.wait(async {
        let mut callers = tokio::task::JoinSet::new();
        for caller in 0..20 {
            let channel = Channel::connect(&host.dial_socket()).unwrap();
            let requests: Vec<_> = (0..100).map(|id| request(caller * 100 + id, task, to)).collect();
            callers.spawn(async move {
                for request in &requests {
                    channel.send(request, &[]).await.unwrap();
                }
                let mut answers = Vec::new();
                for _ in 0..100 {
                    let message = channel.receive().await.unwrap();
                    let answer: Answer = serde_json::from_slice(&message.bytes).unwrap();
                    assert_eq!(message.descriptors.len(), usize::from(answer.error.is_none()));
                    answers.push((answer.id, answer.error.map(|error| error.code)));
                }
                answers.sort_by_key(|(id, _)| *id);
                let ids: Vec<u64> = answers.iter().map(|(id, _)| *id).collect();
                assert_eq!(ids, (caller * 100..caller * 100 + 100).collect::<Vec<_>>());
                answers.into_iter().map(|(_, code)| code).collect::<Vec<_>>()
            });
        }
        let mut codes = HashMap::new();
        for code in callers.join_all().await.into_iter().flatten() {
            *codes.entry(code).or_default() += 1;
        }
        codes
    })
}

#[test]
fn two_thousand_dials_to_nobody_leave_room_for_others() {
    let host = host();
    host.create("web", "red/a");
    host.create("other", "red/a");
    let peer = host.create("peer", "red/b");
    let rules = "add table inet t; add chain inet t i { type filter hook input priority 0; }; add rule inet t i tcp dport 80 drop";
    namespace::command(&inside(&peer), &["nft", rules]);
    let listener = tcp_listen(&inside(&peer), ipv4(&peer), 8000);
    let to = ipv4(&peer).to_string();
    std::thread::scope(|scope| {
        let flooding = scope.spawn(|| flood(&host, "web", &to));
        while !flooding.is_finished() {
            let began = Instant::now();
            let dialed = host.wait(dialer(&host, "other").connect(&to, 8000));
            drop((accept(&listener), dialed.unwrap()));
            assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
        }
        let codes = flooding.join().unwrap();
        assert_eq!(codes.values().sum::<usize>(), 2_000);
        let timed_out = codes[&Some(ErrorCode::TimedOut)];
        // As many as a task may have at a time.
        assert!((256..512).contains(&timed_out), "{codes:?}");
        assert_eq!(codes[&Some(ErrorCode::TooMany)], 2_000 - timed_out, "{codes:?}");
    });
}

#[test]
fn two_thousand_dials_are_answered_each() {
    let host = host();
    host.create("web", "red/a");
    let codes = flood(&host, "web", "127.0.0.1");
    let refused = codes[&Some(ErrorCode::Refused)];
    assert!(refused >= 256, "{codes:?}");
    assert_eq!(refused + codes.get(&Some(ErrorCode::TooMany)).unwrap_or(&0), 2_000, "{codes:?}");
}
