//! Each verb, against the daemon's account and the kernel's.

use std::fs;
use std::process::{Command, Stdio};

use enid_api::v1::Task;
use enid_flowlog::{Direction, Field, Fields as _};
use enid_netns::unmount;
use enid_testbed::namespace::{command, inside};
use enid_testbed::traffic::{ping, send_datagrams, udp};
use enid_testbed::{DEADLINE, Host, program, wait_until};
use serde_json::{Value, json};

use super::plugin::{Container, Outcome, call, call_network, call_with, network, with};
use crate::kernel::{assert_only_listed_tasks, link_names, links};
use crate::ledger::{flush, records, to_port, total};
use crate::networks::{host, ipv4, ipv6, subnet, vpc};

const VERSIONS: [&str; 5] = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

/// The only task.
#[track_caller]
fn only_task(host: &Host) -> Task {
    let mut tasks = host.tasks();
    assert_eq!(tasks.len(), 1);
    tasks.remove(0)
}

/// Asserts that a result is what the daemon and the kernel have.
#[track_caller]
fn assert_result(result: &Value, version: &str, task: &Task, container: &Container) {
    let eni = task.eni.as_ref().unwrap();
    let modern = version.starts_with('1');
    let ip = |address: &Option<String>, gateway: &Option<String>, family: &str| {
        let ip = json!({"address": address, "gateway": gateway, "interface": 0});
        if modern { ip } else { with(&ip, "version", family) }
    };
    let interface = json!({"name": "eth0", "mac": eni.mac, "sandbox": container.netns()});
    let interface = if version == "1.1.0" { with(&interface, "mtu", eni.mtu) } else { interface };
    let dns = task.dns.as_ref().unwrap();
    let expected = json!({
        "cniVersion": version,
        "interfaces": [interface],
        "ips": [ip(&eni.ipv4, &eni.ipv4_gateway, "4"), ip(&eni.ipv6, &eni.ipv6_gateway, "6")],
        "routes": [{"dst": "0.0.0.0/0", "gw": eni.ipv4_gateway}, {"dst": "::/0", "gw": eni.ipv6_gateway}],
        "dns": {"nameservers": dns.servers, "search": dns.search},
    });
    assert_eq!(*result, expected);
    let eth0 = &links(&container.namespace)[1];
    assert_eq!(eth0["address"], eni.mac);
    assert_eq!(eth0["mtu"], eni.mtu);
    assert_eq!(eth0["ifindex"], eni.number);
}

#[test]
fn a_container_is_added_checked_and_deleted_in_every_version() {
    let host = host();
    let peer = host.create("peer", "red/b");
    for version in VERSIONS {
        let container = Container::new(&host, &format!("c{version}"));
        let configuration = network(&host, version, "vpc", "red/a", json!({}));
        let result = call(&host, "ADD", &configuration, &container).result();
        let task = host.tasks().into_iter().find(|task| task.name != "peer").unwrap();
        assert_result(&result, version, &task, &container);
        assert!(ping(&container.namespace, ipv4(&peer), 1, 56));
        assert!(ping(&container.namespace, ipv6(&peer), 1, 56));

        let checked = call(&host, "CHECK", &with(&configuration, "prevResult", result.clone()), &container);
        if version.starts_with("0.3") {
            checked.assert_code(1);
        } else {
            assert_eq!(checked.result(), Value::Null);
        }
        let deleting = with(&configuration, "prevResult", result);
        for _ in 0..2 {
            assert_eq!(call(&host, "DEL", &deleting, &container).result(), Value::Null);
        }
        assert_eq!(host.tasks().len(), 1);
        assert!(wait_until(DEADLINE, || link_names(&container.namespace) == ["lo"]));
    }
    assert_only_listed_tasks(&host);
}

#[test]
fn version_is_answered_in_the_version_that_asks() {
    let host = host();
    for (input, expected) in [
        (r#"{"cniVersion": "0.4.0"}"#, "0.4.0"),
        (r#"{"cniVersion": "9.9.9"}"#, "1.1.0"),
        ("", "1.1.0"),
        ("garbage", "1.1.0"),
    ] {
        let answer = call_with(&host, "VERSION", input.as_bytes(), &[]).result();
        assert_eq!(answer, json!({"cniVersion": expected, "supportedVersions": VERSIONS}));
    }
}

#[test]
fn a_container_is_deleted_by_its_id_alone() {
    let host = host();
    let configuration = network(&host, "1.1.0", "vpc", "red/a", json!({}));
    // One under a name of the plugin's, one under a name of its own.
    let containers = ["plain", "named"].map(|id| Container::new(&host, id));
    for (container, more) in containers.iter().zip([json!({}), json!({"task": "web"})]) {
        let configuration = network(&host, "1.1.0", "vpc", "red/a", more);
        call(&host, "ADD", &configuration, container).result();
    }
    assert!(host.tasks().iter().any(|task| task.name == "web"));
    for container in containers {
        let Container { id, path, namespace } = container;
        drop(namespace);
        unmount(&path).unwrap();
        let variables = [("CNI_CONTAINERID", id.as_str()), ("CNI_IFNAME", "eth0")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        for _ in 0..2 {
            call_with(&host, "DEL", configuration.to_string().as_bytes(), &variables).result();
        }
    }
    assert_eq!(host.tasks(), []);
    assert_only_listed_tasks(&host);
}

#[test]
fn a_delete_touches_nobody_elses() {
    let host = host();
    let container = Container::new(&host, "web");
    let configuration = network(&host, "1.1.0", "vpc", "red/a", json!({}));
    call(&host, "ADD", &configuration, &container).result();
    // A task of the host manager's has the container's id for its name.
    host.create("web", "red/a");
    // Another network, another container, another interface.
    call(&host, "DEL", &with(&configuration, "name", "other"), &container).result();
    call(&host, "DEL", &configuration, &Container { id: "we".to_owned(), ..Container::new(&host, "x") })
        .result();
    let mut variables = container.variables();
    variables[2].1 = "eth1".to_owned();
    call_with(&host, "DEL", configuration.to_string().as_bytes(), &variables).result();
    assert_eq!(host.tasks().len(), 2);
    call(&host, "DEL", &configuration, &container).result();
    assert_eq!(only_task(&host).name, "web");
}

#[test]
fn check_finds_what_was_changed() {
    let host = host();
    let container = Container::new(&host, "web");
    let configuration = network(&host, "1.0.0", "vpc", "red/a", json!({}));
    let result = call(&host, "ADD", &configuration, &container).result();
    let checking = with(&configuration, "prevResult", result.clone());
    let check = || call(&host, "CHECK", &checking, &container);
    check().result();
    let eni = only_task(&host).eni.unwrap();
    let (ipv4, ipv6) = (eni.ipv4.unwrap(), eni.ipv6.unwrap());
    let changes: [(&[&str], &[&str], &str); 5] = [
        (
            &["ip", "link", "set", "eth0", "address", "02:00:00:00:00:01"],
            &["ip", "link", "set", "eth0", "address", &eni.mac],
            "eth0 has MAC address",
        ),
        (
            &["ip", "-6", "addr", "del", &ipv6, "dev", "eth0"],
            &["ip", "-6", "addr", "add", &ipv6, "dev", "eth0", "nodad"],
            "eth0 does not have the address fd00:",
        ),
        (
            &["ip", "route", "del", "default"],
            &["ip", "route", "add", "default", "via", "10.0.0.1", "dev", "eth0", "onlink"],
            "eth0 has no route to 0.0.0.0/0 by 10.0.0.1",
        ),
        (
            &["ip", "-6", "route", "del", "default"],
            &["ip", "-6", "route", "add", "default", "via", "fe80::1", "dev", "eth0"],
            "eth0 has no route to ::/0 by fe80::1",
        ),
        (&["ip", "addr", "del", &ipv4, "dev", "eth0"], &[], "eth0 does not have the address 10.0.0.4/24"),
    ];
    for (change, repair, problem) in changes {
        command(&container.namespace, change);
        let (code, text) = check().error();
        assert_eq!(code, 105, "{text}");
        assert!(text.contains(problem), "{text}");
        if !repair.is_empty() {
            command(&container.namespace, repair);
            check().result();
        }
    }
    command(&container.namespace, &["ip", "link", "set", "eth0", "down"]);
    assert!(check().error().1.contains("eth0 is down"));
    command(&container.namespace, &["ip", "link", "set", "eth0", "name", "other"]);
    assert!(check().error().1.contains("eth0 is gone"));
    // A namespace of somebody else's.
    let other = Container { id: "web".to_owned(), ..Container::new(&host, "other") };
    let (code, text) = call(&host, "CHECK", &checking, &other).error();
    assert!(code == 105 && text.contains("which is not"), "{text}");
    call(&host, "CHECK", &configuration, &container).assert_code(7);
    call(&host, "DEL", &configuration, &container).result();
    call(&host, "CHECK", &checking, &container).assert_code(3);
}

#[test]
fn garbage_is_what_the_runtime_does_not_know() {
    let host = host();
    let of = |name: &str| network(&host, "1.1.0", name, "red/a", json!({}));
    let containers: Vec<Container> =
        (0..4).map(|number| Container::new(&host, &format!("c{number}"))).collect();
    for container in &containers[..3] {
        call(&host, "ADD", &of("vpc"), container).result();
    }
    call(&host, "ADD", &of("other"), &containers[3]).result();
    host.create("host-managers", "red/a");
    let collect =
        |valid: Value| call_network(&host, "GC", &with(&of("vpc"), "cni.dev/valid-attachments", valid));
    let attachments =
        |ids: &[&str]| ids.iter().map(|id| json!({"containerID": id, "ifname": "eth0"})).collect::<Value>();

    // Nothing is known, nothing is deleted.
    call_network(&host, "GC", &of("vpc")).assert_code(7);
    collect(json!([{"containerID": 7}])).assert_code(7);
    call_network(
        &host,
        "GC",
        &with(&with(&of("vpc"), "cniVersion", "1.0.0"), "cni.dev/valid-attachments", json!([])),
    )
    .assert_code(1);
    assert_eq!(collect(attachments(&["c0", "c1", "c2"])).result(), Value::Null);
    assert_eq!(host.tasks().len(), 5);

    collect(attachments(&["c1", "c9"])).result();
    let ids: Vec<String> =
        host.tasks().into_iter().filter_map(|task| task.tags.get("cni:container-id").cloned()).collect();
    assert_eq!(ids.len(), 2);
    assert!(ids.contains(&"c1".to_owned()) && ids.contains(&"c3".to_owned()), "{ids:?}");
    collect(Value::Null).result();
    let mut names: Vec<String> = host.tasks().into_iter().map(|task| task.name).collect();
    names.retain(|name| !name.starts_with("cni-c3-"));
    assert_eq!(names, ["host-managers"]);
    // A delete of what was collected succeeds.
    call(&host, "DEL", &of("vpc"), &containers[0]).result();
}

#[test]
fn status_says_whether_a_container_could_be_added() {
    let mut host = host();
    let status = |host: &Host, subnet: &str| {
        call_network(host, "STATUS", &network(host, "1.1.0", "vpc", subnet, json!({})))
    };
    assert_eq!(status(&host, "red/a").result(), Value::Null);
    status(&host, &subnet(&host, "red/a").id).result();
    status(&host, "red/six").result();
    let (code, text) = status(&host, "red/none").error();
    assert!(code == 50 && text.contains("red/none"), "{text}");
    call_network(&host, "STATUS", &network(&host, "1.0.0", "vpc", "red/a", json!({}))).assert_code(1);
    call_network(&host, "STATUS", &network(&host, "1.1.0", "vpc", "red/a", json!({"subnett": 1})))
        .assert_code(2);

    let room = subnet(&host, "red/tiny").available_ipv4_addresses.unwrap();
    for number in 0..room {
        host.create(&format!("task-{number}"), "red/tiny");
    }
    let (code, text) = status(&host, "red/tiny").error();
    assert!(code == 50 && text.contains("is full"), "{text}");
    // What STATUS has said ADD finds, too: later there may be room.
    let container = Container::new(&host, "web");
    let tiny = network(&host, "1.1.0", "vpc", "red/tiny", json!({}));
    call(&host, "ADD", &tiny, &container).assert_code(11);

    let router = vpc(&host, "red").router_netns.unwrap();
    unmount(std::path::Path::new(&router)).unwrap();
    status(&host, "red/a").assert_code(51);
    host.stop_daemon();
    let (code, text) = status(&host, "red/a").error();
    assert!(code == 50 && text.contains("is `enid serve` running"), "{text}");
    host.start_daemon();
}

#[test]
fn a_containers_identity_is_its_enis_and_in_its_records() {
    let host = host();
    let containers = ["one", "two"].map(|id| Container::new(&host, id));
    let more = json!({
        "securityGroups": ["default", "g1"], "mtu": 1400, "clusterArn": "arn:aws:ecs:us-east-1:1:cluster/shop",
        "tags": {"Team": "web"}, "tcpEstablishedIdleSeconds": 350,
        "capabilities": {"ips": true, "dns": true, "io.kubernetes.cri.pod-annotations": true},
        "runtimeConfig": {
            "ips": ["10.0.0.77/24", "fd00:a::77"],
            "dns": {"servers": ["10.0.0.53"], "searches": ["shop.svc"], "options": ["ndots:5"]},
            "io.kubernetes.cri.pod-annotations": {"enid/service-name": "web", "other": "x"},
        },
    });
    let configuration = network(&host, "1.0.0", "vpc", "red/b", more);
    let mut variables = containers[0].variables();
    let arguments = "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0;ENID_SUBNET=red/a;ENID_TASK_ID=0123;ENID_TAG_Owner=ann";
    variables.push(("CNI_ARGS".to_owned(), arguments.to_owned()));
    let result = call_with(&host, "ADD", configuration.to_string().as_bytes(), &variables).result();
    assert_eq!(result["ips"][0]["address"], "10.0.0.77/24");
    assert_eq!(
        result["dns"],
        json!({"nameservers": ["10.0.0.53"], "search": ["shop.svc"], "options": ["ndots:5"]})
    );
    let task = only_task(&host);
    let eni = task.eni.as_ref().unwrap();
    assert_eq!((eni.mtu, eni.security_group_ids.len()), (1400, 2));
    assert_eq!(eni.idle_timeouts.unwrap().tcp_established, Some(350));
    assert_eq!(eni.subnet_id, subnet(&host, "red/a").id);
    let ecs = task.ecs.clone().unwrap();
    assert_eq!(ecs.cluster_arn.as_deref(), Some("arn:aws:ecs:us-east-1:1:cluster/shop"));
    assert_eq!(
        (ecs.service_name.as_deref(), ecs.task_id.as_deref(), ecs.container_id.as_deref()),
        (Some("web"), Some("0123"), Some("one"))
    );
    let expected = [
        ("Owner", "ann"),
        ("Team", "web"),
        ("cni:container-id", "one"),
        ("cni:interface", "eth0"),
        ("cni:network", "vpc"),
        ("kubernetes:namespace", "shop"),
        ("kubernetes:pod", "web-0"),
    ];
    assert_eq!(task.tags, expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into());

    let plain = network(&host, "1.0.0", "vpc", "red/a", json!({"securityGroups": ["default", "g1"]}));
    call(&host, "ADD", &plain, &containers[1]).result();
    let other = host.tasks().into_iter().find(|other| other.name != task.name).unwrap();
    let [one, two] = [&containers[0], &containers[1]].map(|container| &container.namespace);
    send_datagrams(&udp(one, ipv4(&task), 5000), &udp(two, ipv4(&other), 5001), 3, 72);
    flush(&host);
    let found = records(&host);
    assert_eq!(total(&found, &task.name, Direction::Egress, to_port(17, 5001)).0, 3);
    assert!(
        found
            .iter()
            .any(|record| record.value(Field::EcsContainerId).is_some_and(|id| id.to_string() == "two")),
        "{found:?}"
    );
}

#[test]
fn adding_again_gives_the_same_and_one_namespace_has_one_eni() {
    let host = host();
    let container = Container::new(&host, "web");
    let configuration = network(&host, "1.1.0", "vpc", "red/a", json!({}));
    let add = |configuration: &Value, container: &Container| call(&host, "ADD", configuration, container);
    let result = add(&configuration, &container).result();
    assert_eq!(add(&configuration, &container).result(), result);
    // Another network's ENI for the same container, and the same container in another namespace.
    add(&with(&configuration, "name", "other"), &container).assert_code(100);
    let elsewhere = Container { id: "web".to_owned(), ..Container::new(&host, "elsewhere") };
    add(&configuration, &elsewhere).assert_code(100);
    add(&with(&configuration, "mtu", 1400), &container).assert_code(100);
    assert_eq!(only_task(&host).netns, container.netns());
    // What failed is deleted, as runtimes do, and what was there stays.
    call(&host, "DEL", &with(&configuration, "name", "other"), &container).result();
    assert_eq!(host.tasks().len(), 1);
}

#[test]
fn an_interface_comes_again_right_after_it_went() {
    let host = host();
    let container = Container::new(&host, "web");
    let configuration = network(&host, "1.1.0", "vpc", "red/a", json!({}));
    for _ in 0..10 {
        call(&host, "ADD", &configuration, &container).result();
        call(&host, "DEL", &configuration, &container).result();
    }
    assert_only_listed_tasks(&host);
}

#[test]
fn an_answer_that_can_not_be_written_is_a_failure() {
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = Command::new(program("enid-cni"));
    command.env("CNI_COMMAND", "VERSION").stdin(Stdio::null()).stdout(full);
    assert!(!command.status().unwrap().success());
}

#[test]
fn the_program_tells_a_person_what_it_is() {
    let host = host();
    let text = command(host.namespace(), &[program("enid-cni").to_str().unwrap(), "--version"]);
    assert!(text.contains("CNI plugin") && text.contains("1.1.0"), "{text}");
    let outcome = inside(host.namespace(), || call_with(&host, "", b"", &[]));
    assert_eq!(Outcome::error(outcome).0, 4);
}
