//! What is no right call: each is refused with the code that the specification has for it, and nothing is made.

use std::fs;

use enid_testbed::Host;
use serde_json::{Value, json};

use super::plugin::{Container, call, call_with, network, with};
use crate::kernel::assert_only_listed_tasks;
use crate::networks::host;

/// The variables of a container with one changed; where there is no value it is not set.
fn changed(container: &Container, name: &str, value: Option<&str>) -> Vec<(String, String)> {
    let mut variables = container.variables();
    variables.retain(|(known, _)| known != name);
    variables.extend(value.map(|value| (name.to_owned(), value.to_owned())));
    variables
}

#[track_caller]
fn assert_nothing_made(host: &Host) {
    assert_eq!(host.tasks(), []);
    assert_only_listed_tasks(host);
}

#[test]
fn variables_that_are_missing_or_wrong() {
    let host = host();
    let container = Container::new(&host, "web");
    let input = network(&host, "1.1.0", "vpc", "red/a", json!({})).to_string();
    let long = "x".repeat(300);
    let cases: [(&str, &str, Option<&str>); 16] = [
        ("ADD", "CNI_CONTAINERID", None),
        ("ADD", "CNI_CONTAINERID", Some("")),
        ("ADD", "CNI_CONTAINERID", Some("../web")),
        ("ADD", "CNI_CONTAINERID", Some(&long)),
        ("ADD", "CNI_NETNS", None),
        ("ADD", "CNI_NETNS", Some("relative/path")),
        ("ADD", "CNI_IFNAME", None),
        ("ADD", "CNI_IFNAME", Some("eth1")),
        ("ADD", "CNI_IFNAME", Some("an/interface")),
        ("ADD", "CNI_ARGS", Some("nonsense")),
        ("ADD", "CNI_ARGS", Some("FOO=bar")),
        ("ADD", "CNI_ARGS", Some("IgnoreUnknown=1;ENID_SUBNETS=red/b")),
        ("DEL", "CNI_CONTAINERID", None),
        ("DEL", "CNI_IFNAME", None),
        ("CHECK", "CNI_NETNS", None),
        ("add", "CNI_IFNAME", Some("eth0")),
    ];
    for (verb, name, value) in cases {
        let (code, text) =
            call_with(&host, verb, input.as_bytes(), &changed(&container, name, value)).error();
        assert_eq!(code, 4, "{verb} {name}={value:?}: {text}");
        assert!(text.contains(if verb == "add" { "CNI_COMMAND" } else { name }), "{text}");
    }
    // What could not be added is deleted.
    for (name, value) in [
        ("CNI_CONTAINERID", long.as_str()),
        ("CNI_IFNAME", "eth1"),
        ("CNI_ARGS", "nonsense"),
        ("CNI_NETNS", "gone"),
    ] {
        call_with(&host, "DEL", input.as_bytes(), &changed(&container, name, Some(value))).result();
    }
    assert_nothing_made(&host);
}

#[test]
fn namespaces_that_are_none() {
    let host = host();
    let container = Container::new(&host, "web");
    let input = network(&host, "1.1.0", "vpc", "red/a", json!({})).to_string();
    let file = host.folder().join("file");
    fs::write(&file, "").unwrap();
    let host_itself = host.namespace_path();
    let cases = [
        ("/none/such", 3),
        (file.to_str().unwrap(), 4),
        ("/proc/self/ns/mnt", 4),
        (host_itself.to_str().unwrap(), 7),
    ];
    for (path, expected) in cases {
        let variables = changed(&container, "CNI_NETNS", Some(path));
        let (code, text) = call_with(&host, "ADD", input.as_bytes(), &variables).error();
        assert_eq!(code, expected, "{path}: {text}");
    }
    assert_nothing_made(&host);
}

#[test]
fn input_that_is_no_configuration() {
    let host = host();
    let container = Container::new(&host, "web");
    let huge = format!("{{\"name\": \"{}\"}}", "x".repeat(8 << 20));
    let deep = "[".repeat(100_000);
    let cases: [(&[u8], u64); 11] = [
        (b"", 6),
        (b"garbage", 6),
        (b"\xff\xfe\x00", 6),
        (b"[]", 6),
        (b"null", 6),
        (b"{\"cniVersion\": \"1.1.0\"", 6),
        (deep.as_bytes(), 6),
        (huge.as_bytes(), 6),
        (b"{}", 1),
        (b"{\"cniVersion\": \"0.2.0\", \"name\": \"vpc\"}", 1),
        (b"{\"cniVersion\": \"1.1.0\"}", 7),
    ];
    for (input, expected) in cases {
        let shown = String::from_utf8_lossy(&input[..input.len().min(40)]).into_owned();
        for verb in ["ADD", "DEL"] {
            let (code, text) = call_with(&host, verb, input, &container.variables()).error();
            assert_eq!(code, expected, "{verb} {shown}: {text}");
        }
    }
    assert_nothing_made(&host);
}

#[test]
fn configurations_that_ask_for_what_there_is_not() {
    let host = host();
    let container = Container::new(&host, "web");
    let plain = network(&host, "1.0.0", "vpc", "red/a", json!({}));
    let cases: [(&str, Value, u64, &str); 16] = [
        ("securityGroup", json!(["web"]), 2, "did you mean `securityGroups`?"),
        ("ipam", json!({"type": "host-local"}), 2, "addresses come from the VPC's subnet"),
        ("ipMasq", json!(true), 2, "uplink"),
        ("runtimeConfig", json!({"mac": "02:00:00:00:00:01"}), 2, "runtimeConfig.mac=\"02:00:00:00:00:01\""),
        (
            "runtimeConfig",
            json!({"portMappings": [{"hostPort": 80, "containerPort": 80}]}),
            2,
            "portMappings",
        ),
        ("runtimeConfig", json!({"ips": ["10.0.0.5", "10.0.0.6"]}), 7, "one address of each family"),
        ("subnet", json!("red/none"), 7, "none"),
        ("securityGroups", json!(["none"]), 7, "none"),
        ("mtu", json!(100), 7, "100"),
        ("ipv4", json!("10.9.9.9"), 7, "10.9.9.9"),
        ("ipv4", json!("somewhere"), 7, "somewhere"),
        ("platformVersion", json!("9.9"), 7, "9.9"),
        ("task", json!("a/b"), 7, "a/b"),
        ("tags", json!({"cni:network": "x"}), 7, "this plugin's own"),
        ("prevResult", json!({"cniVersion": "1.0.0"}), 7, "first plugin"),
        ("socket", json!("enid.sock"), 7, "absolute"),
    ];
    for (key, value, expected, sentence) in cases {
        let (code, text) = call(&host, "ADD", &with(&plain, key, value), &container).error();
        assert_eq!(code, expected, "{key}: {text}");
        assert!(text.contains(sentence), "{key}: {text}");
    }
    assert_nothing_made(&host);
    // An address that another has.
    let taken = with(&plain, "ipv4", "10.0.0.9");
    call(&host, "ADD", &taken, &Container::new(&host, "first")).result();
    call(&host, "ADD", &taken, &container).assert_code(100);
    assert_eq!(host.tasks().len(), 1);
}

#[test]
fn a_configuration_that_became_wrong_still_deletes() {
    let host = host();
    let container = Container::new(&host, "web");
    let plain = network(&host, "1.0.0", "vpc", "red/a", json!({}));
    call(&host, "ADD", &plain, &container).result();
    let mut broken = with(&with(&plain, "subnett", "x"), "ipam", json!({"type": "x"}));
    broken.as_object_mut().unwrap().remove("subnet");
    call(&host, "DEL", &broken, &container).result();
    assert_nothing_made(&host);
}
