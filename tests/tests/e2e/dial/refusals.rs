//! Dials that come to nothing say why, in time.

use std::time::{Duration, Instant};

use enid_api::dial::wire::ErrorCode;
use enid_api::dial::{DialError, Dialer};
use enid_api::v1::CreateTaskRequest;
use enid_testbed::{namespace, new_task};

use super::{SOON, dialer, refused};
use crate::networks::{host, inside, ipv4, ipv6};

#[test]
fn each_has_its_code_and_a_sentence_that_names_what() {
    let host = host();
    host.create("web", "red/a");
    let (peer, four) = (host.create("peer", "red/b"), host.create("four", "red/four"));
    let web = dialer(&host, "web");
    let to = ipv4(&peer).to_string();
    for (dialer, to, port, code, text) in [
        (dialer(&host, "nobody"), to.as_str(), 80, ErrorCode::NoSuchTask, "no task `nobody`"),
        (dialer(&host, "../web"), &to, 80, ErrorCode::BadRequest, "can't be a task's name"),
        (web.clone(), &to, 80, ErrorCode::Refused, "refuses connections"),
        (web.clone(), &ipv6(&peer).to_string(), 80, ErrorCode::Refused, "refuses connections"),
        (web.clone(), &to, 0, ErrorCode::BadRequest, "0 is not a port"),
        (web.clone(), "", 80, ErrorCode::BadRequest, "neither an address nor a name"),
        // In the VPC's block, and nobody's.
        (web.clone(), "10.0.9.9", 80, ErrorCode::Unreachable, "10.0.9.9:80 can't be reached"),
        // The VPC has no way out.
        (web.clone(), "192.0.2.1", 80, ErrorCode::Unreachable, "192.0.2.1:80 can't be reached"),
        (web.clone(), "2001:db8::1", 80, ErrorCode::Unreachable, "[2001:db8::1]:80 can't be reached"),
        (web.clone(), "169.254.169.254", 80, ErrorCode::Unreachable, "can't be reached"),
        (web.clone(), "255.255.255.255", 80, ErrorCode::Unreachable, "can't be reached"),
        (
            dialer(&host, "four"),
            &ipv6(&peer).to_string(),
            80,
            ErrorCode::Unreachable,
            "four has no IPv6 address",
        ),
        (web.timeout(Duration::from_hours(1)), &to, 80, ErrorCode::BadRequest, "timeoutMs"),
    ] {
        let began = Instant::now();
        let (found, message) = refused(&host, &dialer, to, port);
        assert_eq!(found, code, "{to}:{port}: {message}");
        assert!(message.contains(text), "{message}");
        assert!(began.elapsed() < SOON, "{message}: {:?}", began.elapsed());
    }
    drop(four);
}

#[test]
fn what_security_groups_refuse_is_said_so_before_the_timeout() {
    let host = host();
    host.apply(
        r#"
[[vpc]]
name = "guarded"
ipv4_cidr = "10.2.0.0/16"
ipv6_cidr = "fd00:c::/56"
uplink = "none"
subnet = [{ name = "a", zone = "zone-a", ipv4_cidr = "10.2.0.0/24", ipv6_cidr = "fd00:c::/64" }]
[[vpc.security_group]]
name = "open"
[[vpc.security_group]]
name = "mute"
egress = []
"#,
    );
    let task = |name: &str, group: &str| {
        let request =
            CreateTaskRequest { security_groups: vec![group.to_owned()], ..new_task(name, "guarded/a") };
        host.create_as(&request).unwrap()
    };
    let (open, _mute) = (task("open", "open"), task("mute", "mute"));
    for (task, sentence) in [
        ("mute", "no egress rule of mute's security groups allows it"),
        ("other", "no ingress rule of open's security groups allows it"),
    ] {
        if task == "other" {
            task_of(&host, "other");
        }
        for to in [ipv4(&open), ipv6(&open)] {
            let began = Instant::now();
            let dialer = dialer(&host, task).timeout(Duration::from_secs(20));
            let (code, message) = refused(&host, &dialer, &to.to_string(), 80);
            assert_eq!(code, ErrorCode::SecurityGroup, "{message}");
            assert!(message.contains(sentence), "{message}");
            assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
        }
    }
}

fn task_of(host: &enid_testbed::Host, name: &str) {
    let request =
        CreateTaskRequest { security_groups: vec!["open".to_owned()], ..new_task(name, "guarded/a") };
    host.create_as(&request).unwrap();
}

#[test]
fn who_does_not_answer_is_waited_for_as_long_as_asked() {
    let host = host();
    host.create("web", "red/a");
    let peer = host.create("peer", "red/b");
    // It does not even refuse.
    namespace::command(
        &inside(&peer),
        &[
            "nft",
            "add table inet t; add chain inet t i { type filter hook input priority 0; }; add rule inet t i tcp dport 80 drop",
        ],
    );
    let began = Instant::now();
    let dialer = dialer(&host, "web").timeout(Duration::from_millis(700));
    let (code, message) = refused(&host, &dialer, &ipv4(&peer).to_string(), 80);
    assert_eq!(code, ErrorCode::TimedOut, "{message}");
    assert!(message.contains("did not answer within 0.7 s"), "{message}");
    assert!((Duration::from_millis(700)..SOON).contains(&began.elapsed()), "{:?}", began.elapsed());
}

#[test]
fn a_task_whose_namespace_is_gone_says_so() {
    let host = host();
    let path = host.folder().join("theirs");
    namespace::create(&path);
    let request =
        CreateTaskRequest { netns: Some(path.display().to_string()), ..new_task("adopted", "red/a") };
    host.create_as(&request).unwrap();
    let peer = host.create("peer", "red/b");
    let listener = enid_testbed::traffic::tcp_listen(&inside(&peer), ipv4(&peer), 80);
    let dialer = dialer(&host, "adopted");
    host.wait(dialer.connect(&ipv4(&peer).to_string(), 80)).unwrap();
    drop(listener);
    enid_netns::unmount(&path).unwrap();
    let (code, message) = refused(&host, &dialer, &ipv4(&peer).to_string(), 80);
    assert_eq!(code, ErrorCode::TaskBroken, "{message}");
    assert!(message.contains("its network namespace"), "{message}");
}

#[test]
fn nobody_at_the_socket_is_said_so() {
    let mut host = host();
    host.create("web", "red/a");
    host.stop_daemon();
    let error = host.wait(dialer(&host, "web").connect("10.0.0.9", 80)).unwrap_err();
    assert!(matches!(error, DialError::NobodyListens { .. }), "{error}");
    let error = host.wait(Dialer::new(host.folder().join("none"), "web").connect("::1", 80)).unwrap_err();
    assert!(error.to_string().contains("is `enid serve` running"), "{error}");
    host.start_daemon();
}
