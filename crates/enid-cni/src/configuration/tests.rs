use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::version::SUPPORTED;

fn container() -> Container {
    Container {
        id: "web".into(),
        netns: "/run/netns/web".into(),
        interface: "eth0".into(),
        ..Container::default()
    }
}

/// A configuration of the newest version with some fields more.
fn configuration(more: Value) -> Result<Configuration, CniError> {
    let mut fields = Map::from_iter([
        ("cniVersion".to_owned(), "1.1.0".into()),
        ("name".to_owned(), "vpc".into()),
        ("type".to_owned(), "enid-cni".into()),
    ]);
    let Value::Object(more) = more else { panic!("an object") };
    fields.extend(more);
    Configuration::read(version(&fields)?, fields)
}

fn request(more: Value) -> Result<CreateTaskRequest, CniError> {
    configuration(more)?.request(&container())
}

#[test]
fn the_defaults_are_the_daemons() {
    let read = configuration(json!({})).unwrap();
    assert_eq!(read.socket, PathBuf::from("/run/enid/enid.sock"));
    assert_eq!(read.timeout, Duration::from_secs(10));
    let made = request(json!({"subnet": "a"})).unwrap();
    assert_eq!(made.name, read.attachment(&container()).task_name());
    assert_eq!(made.netns.as_deref(), Some("/run/netns/web"));
    assert_eq!(made.ecs.unwrap().container_id.as_deref(), Some("web"));
    assert_eq!(made.tags, read.attachment(&container()).tags().into());
    assert_eq!((made.ipv4, made.mtu, made.security_groups), (None, None, vec![]));
}

#[test]
fn keys_stand_at_the_top_or_in_an_object_of_their_own() {
    let own = json!({
        "subnet": "red/a", "securityGroups": ["web"], "mtu": 1500, "clusterArn": "arn:c", "tags": {"Team": "x"}, "task": "mine",
    });
    let at_top = request(own.clone()).unwrap();
    assert_eq!(request(json!({ "enid": own })).unwrap(), at_top);
    assert_eq!((at_top.name.as_str(), at_top.mtu, at_top.tags["Team"].as_str()), ("mine", Some(1500), "x"));
    assert_eq!(at_top.ecs.unwrap().cluster_arn.as_deref(), Some("arn:c"));
    let error = request(json!({"subnet": "a", "enid": {"subnet": "b"}})).unwrap_err();
    assert_eq!((error.code, error.details.as_str()), (Code::InvalidConfiguration, "it is in `enid`, too"));
    let read = configuration(json!({"enid": {"socket": "/x", "timeoutSeconds": 3}})).unwrap();
    assert_eq!((read.socket, read.timeout), (PathBuf::from("/x"), Duration::from_secs(3)));
}

#[test]
fn arguments_come_before_the_runtime_which_comes_before_the_configuration() {
    let all = json!({
        "subnet": "configured", "ipv4": "10.0.0.1",
        "runtimeConfig": {"ips": ["10.0.0.2"], "io.kubernetes.cri.pod-annotations": {"enid/subnet": "annotated"}},
    });
    let read = configuration(all).unwrap();
    let made = read.request(&container()).unwrap();
    assert_eq!((made.subnet.as_str(), made.ipv4.as_deref()), ("annotated", Some("10.0.0.2")));
    let arguments = "IP=10.0.0.3;ENID_SUBNET=argued".to_owned();
    let made = read.request(&Container { arguments, ..container() }).unwrap();
    assert_eq!((made.subnet.as_str(), made.ipv4.as_deref()), ("argued", Some("10.0.0.3")));
}

#[test]
fn what_runtimes_and_the_specification_put_in_is_let_be() {
    let put_in = json!({
        "subnet": "a", "cniVersions": ["1.0.0", "1.1.0"], "args": {}, "capabilities": {"ips": true}, "runtimeConfig": {},
        "prevResult": null, "dns": {}, "ipam": {}, "ipMasq": false, "disableCheck": false, "disableGC": true,
        "cni.dev/valid-attachments": [], "example.com/anything": 7, "loadOnlyInlinedPlugins": false,
    });
    request(put_in).unwrap();
}

#[test]
fn what_is_unknown_or_not_supported_is_named_with_its_value() {
    let error = request(json!({"subnet": "a", "securityGroup": ["b"]})).unwrap_err();
    assert_eq!(error.code, Code::UnsupportedField);
    assert_eq!(error.message, "unsupported field in the network configuration: securityGroup=[\"b\"]");
    assert_eq!(error.details, "did you mean `securityGroups`?");
    let error = request(json!({"enid": {"subnett": "a"}})).unwrap_err();
    assert_eq!(error.details, "did you mean `subnet`?");
    for (key, value) in
        [("ipam", json!({"type": "host-local"})), ("ipMasq", json!(true)), ("bridge", json!("cni0"))]
    {
        assert_eq!(
            request(json!({"subnet": "a", key: value})).unwrap_err().code,
            Code::UnsupportedField,
            "{key}"
        );
    }
    // Well known of a configuration, not of enid's own part.
    assert_eq!(
        request(json!({"enid": {"subnet": "a", "type": "x"}})).unwrap_err().code,
        Code::UnsupportedField
    );
}

#[test]
fn what_is_wrong_is_an_invalid_configuration() {
    for more in [
        json!({"subnet": ""}),
        json!({}),
        json!({"subnet": 7}),
        json!({"subnet": "a", "mtu": "many"}),
        json!({"subnet": "a", "tags": {"cni:network": "other"}}),
        json!({"enid": "subnet"}),
        json!({"name": ""}),
        json!({"name": "a/b"}),
        json!({"name": 7}),
        json!({"socket": "relative"}),
        json!({"timeoutSeconds": 0}),
        json!({"timeoutSeconds": "soon"}),
        json!({"cniVersion": 1}),
    ] {
        let error = request(more.clone()).unwrap_err();
        assert_eq!(error.code, Code::InvalidConfiguration, "{more}: {error}");
    }
}

#[test]
fn a_delete_does_not_mind_what_only_an_add_needs() {
    configuration(json!({"subnett": "a", "ipam": {"type": "x"}, "mtu": "many"})).unwrap();
}

#[test]
fn versions_are_those_that_are_supported() {
    let version_of = |text: &str| version(&Map::from_iter([("cniVersion".to_owned(), text.into())]));
    for supported in SUPPORTED {
        assert_eq!(version_of(supported.as_str()), Ok(supported));
    }
    for text in ["", "0.1.0", "0.2.0", "1.1", "1.2.0", "v1.0.0", "latest"] {
        assert_eq!(version_of(text).unwrap_err().code, Code::IncompatibleVersion, "{text}");
    }
    assert_eq!(version(&Map::new()).unwrap_err().code, Code::IncompatibleVersion);
}

#[test]
fn valid_attachments_must_be_said() {
    let valid = |more: Value| configuration(more).unwrap().valid_attachments();
    assert_eq!(valid(json!({})).unwrap_err().code, Code::InvalidConfiguration);
    assert_eq!(valid(json!({"cni.dev/valid-attachments": null})).unwrap().len(), 0);
    let one = json!([{"containerID": "web", "ifname": "eth0"}]);
    let found = valid(json!({"cni.dev/valid-attachments": one})).unwrap();
    assert_eq!(found, BTreeSet::from([configuration(json!({})).unwrap().attachment(&container())]));
    assert_eq!(valid(json!({"cni.dev/attachments": one})).unwrap(), found);
    for wrong in [
        json!({}),
        json!(["web"]),
        json!([{"containerID": "web"}]),
        json!([{"containerID": 1, "ifname": "x"}]),
    ] {
        assert!(valid(json!({"cni.dev/valid-attachments": wrong})).is_err());
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((known_or_any_key(), inner), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn known_or_any_key() -> impl Strategy<Value = String> {
    let known = [
        "subnet",
        "enid",
        "tags",
        "mtu",
        "args",
        "cni",
        "runtimeConfig",
        "ips",
        "dns",
        "labels",
        "key",
        "value",
        "prevResult",
        "cni.dev/valid-attachments",
        "securityGroups",
        "io.kubernetes.cri.pod-annotations",
        "containerID",
        "ifname",
    ];
    prop_oneof![prop::sample::select(known.to_vec()).prop_map(str::to_owned), ".{0,6}"]
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&bytes);
    }

    #[test]
    fn any_fields_are_taken_or_refused(fields in prop::collection::vec((known_or_any_key(), any_json()), 0..6)) {
        let fields: Map<String, Value> = fields.into_iter().collect();
        if let Ok(configuration) = configuration(fields.into()) {
            let _ = configuration.valid_attachments();
            let _ = configuration.resolver();
            if let Ok(request) = configuration.request(&container()) {
                prop_assert!(!request.subnet.is_empty());
                prop_assert_eq!(&request.tags["cni:network"], "vpc");
            }
        }
    }
}
