//! What is explained is what happens.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;

use enid::ForwardingMode;
use enid_api::v1::{CreateTaskRequest, ExplainRequest, ExplainResponse, Task};
use enid_testbed::namespace::command;
use enid_testbed::traffic::{accept, ping, tcp_connect, tcp_listen, try_tcp_connect, udp};
use enid_testbed::{Host, new_task};
use tonic::Status;

use super::lab::{self, Case, Rules, create, observe, set_entries, set_rules};
use super::probe::{Icmp, Other, Probe, Tcp, Udp, V4, V6, nobody};
use crate::networks::{NETWORKS, inside, ipv4};

super::both_ways!(
    explanations_are_what_happens,
    the_steps_name_enis_groups_and_rules,
    what_leads_nowhere_is_said,
    a_tracked_flow_is_told,
    what_is_no_packet_is_refused,
);

/// The request that is about a probe's packet.
fn request(task: &Task, direction: &str, address: std::net::IpAddr, probe: Probe) -> ExplainRequest {
    let mut request = ExplainRequest {
        task: task.name.clone(),
        direction: direction.to_owned(),
        address: address.to_string(),
        ..Default::default()
    };
    match probe {
        Tcp(port) => (request.protocol, request.port) = ("tcp".to_owned(), Some(port.into())),
        Udp(port) => (request.protocol, request.port) = ("udp".to_owned(), Some(port.into())),
        Icmp(kind, code) => {
            request.protocol = String::from(if address.is_ipv4() { "icmp" } else { "icmpv6" });
            (request.icmp_type, request.icmp_code) = (Some(kind.into()), Some(code.into()));
        }
        Other(number) => request.protocol = number.to_string(),
    }
    request
}

fn try_explain(host: &Host, request: ExplainRequest) -> Result<ExplainResponse, Status> {
    host.call(async |client| client.tasks().explain(request).await)
}

#[track_caller]
fn explain(host: &Host, request: ExplainRequest) -> ExplainResponse {
    try_explain(host, request).unwrap_or_else(|error| panic!("{error}"))
}

fn explanations_are_what_happens(forwarding: ForwardingMode) {
    let host = lab::host(forwarding);
    let open = create(&host, "open", "a", &["open"]);
    let friend = create(&host, "friend", "b", &["friends", "second"]);
    let target = create(&host, "target", "a", &["target"]);
    set_entries(&host, &["10.5.1.0/24", "fd00:e::/56"]);
    let ingress = [
        "udp:80-81:sg=friends",
        "tcp:443:pl=trusted",
        "icmp:8/0:10.5.0.0/16",
        "47:10.5.0.0/24",
        "udp:90:0.0.0.0/0",
    ];
    set_rules(&host, "target", Rules::Ingress, &ingress);
    set_rules(&host, "target", Rules::Egress, &["tcp:1-1023:sg=open", "udp:80:::/0", "icmpv6:128:::/0"]);
    set_rules(&host, "second", Rules::Ingress, &["udp:80:fd00:e::/64"]);
    let probes = [
        Tcp(443),
        Tcp(1023),
        Tcp(1024),
        Udp(80),
        Udp(81),
        Udp(82),
        Udp(90),
        Icmp(8, 0),
        Icmp(128, 0),
        Other(47),
    ];
    let mut cases: Vec<Case<'_>> = Vec::new();
    for probe in probes {
        for family in [V4, V6] {
            if matches!((probe, family), (Icmp(8, 0), V6) | (Icmp(128, 0), V4)) {
                continue;
            }
            for (from, to) in [(&open, &target), (&friend, &target), (&target, &open), (&target, &friend)] {
                // Without ports, what goes back would be an answer.
                let probe = if probe == Other(47) && from == &target { Other(48) } else { probe };
                // What it is to be is what is explained, from either end.
                let to_address = request(from, "to", family.address(to), probe);
                let from_address = request(to, "from", family.address(from), probe);
                let explained = [to_address, from_address].map(|request| explain(&host, request));
                assert_eq!(explained[0], explained[1], "{probe:?}");
                cases.push((from, to, family, probe, explained[0].verdict == "allowed"));
            }
        }
    }
    let allowed = cases.iter().filter(|case| case.4).count();
    assert!(allowed > 12 && cases.len() - allowed > 12, "{allowed} of {} are allowed", cases.len());
    lab::assert_cases(&cases);
    assert_eq!(observe(&cases).iter().filter(|arrived| **arrived).count(), allowed);
}

fn the_steps_name_enis_groups_and_rules(forwarding: ForwardingMode) {
    let host = lab::host(forwarding);
    let open = create(&host, "open", "a", &["open"]);
    let target = create(&host, "target", "a", &["second", "target"]);
    set_rules(
        &host,
        "target",
        Rules::Ingress,
        &["udp:80:sg=open", "tcp:8000-8080:pl=trusted", "tcp:443:0.0.0.0/0"],
    );
    let explained = explain(&host, request(&open, "to", ipv4(&target), Udp(80)));
    let steps: Vec<_> = explained
        .steps
        .iter()
        .map(|step| {
            let part = |text: &Option<String>| text.clone().unwrap_or_default();
            (
                step.step.as_str(),
                step.outcome.as_str(),
                part(&step.task),
                part(&step.security_group),
                part(&step.rule),
            )
        })
        .collect();
    let step = |step, outcome, task: &str, group: &str, rule: &str| {
        (step, outcome, task.to_owned(), group.to_owned(), rule.to_owned())
    };
    assert_eq!(
        steps,
        [
            step("source check", "allowed", "open", "", ""),
            step("egress rules", "allowed", "open", "open", "all:0.0.0.0/0"),
            step("route", "eni", "target", "", ""),
            step("ingress rules", "allowed", "target", "target", "udp:80:sg=open"),
            step("tracking", "untracked", "open", "", ""),
            step("tracking", "tracked", "target", "", ""),
        ]
    );
    assert_eq!(explained.steps[3].eni_id, target.eni.as_ref().map(|eni| eni.id.clone()));
    assert_eq!(
        explained.reason,
        "rule all:0.0.0.0/0 of security group open and rule udp:80:sg=open of security group target allow it"
    );
    let explained = explain(&host, request(&target, "from", ipv4(&open), Tcp(8000)));
    assert_eq!(explained.verdict, "refused");
    assert_eq!(explained.reason, "no ingress rule of target's security groups allows it");
    let last = explained.steps.last().unwrap();
    assert_eq!((&*last.step, &*last.detail), ("ingress rules", "no rule of second, target allows it"));
    let explained = explain(&host, request(&target, "from", ipv4(&open), Tcp(443)));
    let tracking: Vec<_> = explained.steps.iter().filter(|step| step.step == "tracking").collect();
    assert_eq!(tracking.iter().map(|step| &*step.outcome).collect::<Vec<_>>(), ["untracked"; 2]);
}

fn what_leads_nowhere_is_said(forwarding: ForwardingMode) {
    let host = lab::host(forwarding);
    host.apply(NETWORKS);
    let task = create(&host, "task", "a", &["open"]);
    let way_out = host.create_as(&new_task("shop", "shop/a")).unwrap();
    let four = host.create_as(&CreateTaskRequest { ipv6: None, ..new_task("four", "red/four") }).unwrap();
    let last = |explained: &ExplainResponse| {
        let step = explained.steps.last().unwrap();
        (step.step.clone(), step.outcome.clone())
    };
    let assert = |task: &Task, direction: &str, address: &str, probe, verdict: &str, step: (&str, &str)| {
        let explained = explain(&host, request(task, direction, address.parse().unwrap(), probe));
        let expected = (verdict.to_owned(), (step.0.to_owned(), step.1.to_owned()));
        assert_eq!((explained.verdict.clone(), last(&explained)), expected, "{address}: {explained:?}");
    };
    for (task, direction, address, probe, verdict, step) in [
        (&task, "to", "192.0.2.99", Tcp(80), "refused", ("route", "none")),
        (&task, "to", "2001:db8::99", Tcp(80), "refused", ("route", "none")),
        (&task, "to", "10.5.0.200", Tcp(80), "refused", ("route", "none")),
        (&task, "to", "224.0.0.251", Udp(5353), "refused", ("route", "none")),
        (&task, "to", "169.254.169.254", Tcp(80), "refused", ("route", "none")),
        (&task, "to", "10.5.0.1", Tcp(80), "refused", ("route", "router")),
        (&task, "to", "10.5.0.1", Icmp(8, 0), "allowed", ("tracking", "tracked")),
        (&task, "to", "fd00:e::1", Icmp(128, 0), "allowed", ("tracking", "tracked")),
        (&way_out, "to", "192.0.2.99", Udp(80), "allowed", ("tracking", "tracked")),
        (&way_out, "to", "169.254.170.2", Tcp(80), "refused", ("route", "none")),
        (&way_out, "from", "192.0.2.99", Udp(80), "refused", ("ingress rules", "refused")),
        (&four, "to", "2001:db8::99", Udp(80), "refused", ("source check", "refused")),
        (&four, "from", "2001:db8::99", Udp(80), "refused", ("route", "none")),
    ] {
        assert(task, direction, address, probe, verdict, step);
    }
    // The host's own addresses are not outside.
    command(host.namespace(), &["ip", "address", "add", "198.51.100.9/32", "dev", "lo"]);
    assert(&way_out, "to", "198.51.100.9", Tcp(80), "refused", ("route", "uplink"));
    assert(&way_out, "to", "198.51.100.9", Icmp(8, 0), "allowed", ("tracking", "tracked"));
    assert!(try_tcp_connect(&inside(&way_out), "198.51.100.9:80".parse().unwrap()).is_err());
    assert!(ping(&inside(&way_out), "198.51.100.9".parse().unwrap(), 1, 56));
    // And so it is.
    for family in [V4, V6] {
        let to = SocketAddr::new(nobody(family), 80);
        assert!(try_tcp_connect(&inside(&task), to).is_err());
    }
    assert!(ping(&inside(&task), "10.5.0.1".parse().unwrap(), 1, 56));
    assert!(try_tcp_connect(&inside(&task), "10.5.0.1:80".parse().unwrap()).is_err());
}

fn a_tracked_flow_is_told(forwarding: ForwardingMode) {
    let host = lab::host(forwarding);
    let open = create(&host, "open", "a", &["open"]);
    let target = create(&host, "target", "b", &["target"]);
    set_rules(&host, "target", Rules::Ingress, &["udp:80:10.5.0.0/24"]);
    let (near, far) = (udp(&inside(&open), ipv4(&open), 5000), udp(&inside(&target), ipv4(&target), 80));
    let send = || {
        near.send_to(b"one", far.local_addr().unwrap()).unwrap();
        far.recv(&mut [0; 8])
    };
    send().unwrap();
    set_rules(&host, "target", Rules::Ingress, &[]);
    let explained = |source_port| {
        let request = request(&open, "to", ipv4(&target), Udp(80));
        explain(&host, ExplainRequest { source_port, ..request })
    };
    assert_eq!(explained(Some(5000)).verdict, "allowed", "{:?}", explained(Some(5000)));
    let step = &explained(Some(5000)).steps[3];
    assert_eq!(step.detail, "no rule of target allows it, but the flow is tracked");
    send().unwrap();
    tracked_connection_is_told(&host, &open, &target);
    assert_eq!(explained(Some(5001)).verdict, "refused");
    assert_eq!(explained(None).verdict, "refused");
    // Its answers as well.
    set_rules(&host, "target", Rules::Egress, &[]);
    let answer = ExplainRequest { source_port: Some(80), ..request(&target, "to", ipv4(&open), Udp(5000)) };
    assert_eq!(explain(&host, answer).verdict, "allowed");
    far.send_to(b"two", near.local_addr().unwrap()).unwrap();
    near.recv(&mut [0; 8]).unwrap();
}

/// What goes on with a TCP connection passes, and so it is said; a new one on its ports does not.
fn tracked_connection_is_told(host: &Host, client: &Task, server: &Task) {
    set_rules(host, "target", Rules::Ingress, &["tcp:8080:10.5.0.0/24"]);
    let to = SocketAddr::new(ipv4(server), 8080);
    let listener = tcp_listen(&inside(server), to.ip(), to.port());
    let mut near = tcp_connect(&inside(client), to);
    let (mut far, _) = accept(&listener);
    set_rules(host, "target", Rules::Ingress, &[]);
    let base = request(client, "to", to.ip(), Tcp(8080));
    let source_port = Some(near.local_addr().unwrap().port().into());
    let explained = explain(host, ExplainRequest { source_port, ..base.clone() });
    assert_eq!(explained.verdict, "allowed", "{explained:?}");
    assert!(explained.steps.iter().any(|step| step.detail.ends_with("on its ports would be refused")));
    near.write_all(b"on").unwrap();
    far.read_exact(&mut [0; 2]).unwrap();
    assert_eq!(explain(host, base).verdict, "refused");
}

fn what_is_no_packet_is_refused(forwarding: ForwardingMode) {
    let host = lab::host(forwarding);
    let task = create(&host, "task", "a", &["open"]);
    let base = request(&task, "to", "10.5.0.9".parse().unwrap(), Tcp(80));
    let said = |request| try_explain(&host, request).unwrap_err();
    for (request, text) in [
        (ExplainRequest { task: "nobody".into(), ..base.clone() }, "there is no task `nobody`"),
        (
            ExplainRequest { address: "10.5.0".into(), ..base.clone() },
            "`10.5.0` is not an IPv4 or IPv6 address",
        ),
        (ExplainRequest { direction: "through".into(), ..base.clone() }, "a direction is `to` or `from`"),
        (ExplainRequest { protocol: "all".into(), ..base.clone() }, "a packet has one protocol"),
        (ExplainRequest { port: None, ..base.clone() }, "tcp and udp need a port"),
        (ExplainRequest { port: Some(65_536), ..base.clone() }, "port 65536 is out of range: 0 to 65535"),
        (ExplainRequest { icmp_type: Some(8), ..base.clone() }, "only icmp and icmpv6 have types and codes"),
        (ExplainRequest { protocol: "icmp".into(), ..base.clone() }, "only tcp and udp have ports"),
        (ExplainRequest { protocol: "icmpv6".into(), port: None, ..base.clone() }, "icmpv6 is of IPv6"),
    ] {
        let error = said(request);
        assert!(error.message().contains(text), "{error}");
    }
}
