use serde_json::json;

use super::*;

fn container() -> Container {
    Container { netns: "/run/netns/x".into(), interface: "eth0".into(), ..Container::default() }
}

fn task() -> Task {
    Task {
        eni: Some(Eni {
            number: 1_000_001,
            ipv4: Some("10.0.0.7/24".into()),
            ipv4_gateway: Some("10.0.0.1".into()),
            ipv6: Some("fd00::7/128".into()),
            ipv6_gateway: Some("fe80::1".into()),
            ..Eni::default()
        }),
        ..Task::default()
    }
}

fn interface() -> Interface {
    Interface {
        index: 1_000_001,
        up: true,
        mac: "02:00:00:00:00:0a".into(),
        mtu: 9001,
        addresses: vec!["10.0.0.7/24".into(), "fd00::7/128".into(), "fe80::a/64".into()],
        gateways: vec!["10.0.0.1".parse().unwrap(), "fe80::1".parse().unwrap()],
    }
}

fn result() -> Value {
    json!({
        "interfaces": [{"name": "eth0", "mac": "02:00:00:00:00:0A", "mtu": 9001, "sandbox": "/run/netns/x"}],
        "ips": [{"address": "10.0.0.7/24", "interface": 0}, {"address": "fd00:0:0::7/128", "interface": 0}],
        "routes": [{"dst": "0.0.0.0/0", "gw": "10.0.0.1"}, {"dst": "::/0"}],
    })
}

#[track_caller]
fn assert_problem(result: &Value, task: &Task, interface: &Interface, expected: &str) {
    assert_eq!(differences(result, task, interface, &container()), [expected]);
}

#[test]
fn what_is_as_it_was_given_has_no_differences() {
    assert_eq!(differences(&result(), &task(), &interface(), &container()), [""; 0]);
}

#[test]
fn each_difference_is_told() {
    let (result, task) = (result(), task());
    let with = |change: fn(&mut Interface)| {
        let mut changed = interface();
        change(&mut changed);
        changed
    };
    let told = |interface: Interface, expected: &str| assert_problem(&result, &task, &interface, expected);
    told(with(|one| one.up = false), "eth0 is down");
    told(with(|one| one.index = 2), "eth0 has index 2, and ENI  has 1000001");
    told(
        with(|one| one.mac = "02:00:00:00:00:0b".into()),
        "eth0 has MAC address 02:00:00:00:00:0b, not 02:00:00:00:00:0A",
    );
    told(with(|one| one.mtu = 1500), "eth0 has MTU 1500, not 9001");
    told(with(|one| drop(one.addresses.remove(0))), "eth0 does not have the address 10.0.0.7/24");
    told(with(|one| one.gateways.truncate(1)), "eth0 has no route to ::/0 by fe80::1");
}

#[test]
fn a_later_plugin_may_have_changed_the_result() {
    let mut changed = result();
    changed["routes"] = json!([{"dst": "0.0.0.0/0", "gw": "10.0.0.99"}]);
    changed["interfaces"][0]["mac"] = "02:00:00:00:00:0c".into();
    changed["interfaces"].as_array_mut().unwrap().insert(0, json!({"name": "eth0"}));
    for ip in changed["ips"].as_array_mut().unwrap() {
        ip["interface"] = 1.into();
    }
    let mut interface = interface();
    interface.mac = "02:00:00:00:00:0c".into();
    interface.gateways.clear();
    assert_eq!(differences(&changed, &task(), &interface, &container()), [""; 0]);
}

#[test]
fn a_result_of_another_container_is_told() {
    let mut other = result();
    other["ips"] = json!([{"address": "10.0.0.7/24"}]);
    assert_problem(&other, &task(), &interface(), "prevResult does not have the address fd00::7/128 of ENI ");
    for nonsense in [json!(null), json!([]), json!({"interfaces": 7, "ips": "x", "routes": {}})] {
        assert!(!differences(&nonsense, &task(), &interface(), &container()).is_empty());
    }
}
