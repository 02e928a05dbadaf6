//! `runtimeConfig` and `args`: what a runtime adds to the configuration for one container, by the capabilities that the
//! configuration claims and by convention.

use enid_api::v1::CreateTaskRequest;
use serde_json::{Map, Value};

use crate::arguments::set_address;
use crate::error::{CniError, Code};
use crate::settings;

/// Where containerd puts the annotations of a pod.
const ANNOTATIONS: &str = "io.kubernetes.cri.pod-annotations";

/// Capabilities that an ENI does not have: the network is the VPC's.
const UNSUPPORTED: [(&str, &str); 6] = [
    ("mac", "enid chooses the MAC address of an ENI"),
    (
        "portMappings",
        "a VPC maps no ports of the host: leave the capability out, or use the ENI's own address",
    ),
    ("ipRanges", "addresses come from the VPC's subnet: use `ips` or `subnet`"),
    ("bandwidth", "an ENI's bandwidth is not limited"),
    ("infinibandGUID", "an ENI is no InfiniBand device"),
    ("deviceID", "an ENI is no device of the host"),
];

/// What the addresses of a container should be.
const EXPECTED_ADDRESSES: &str = "expected a list of addresses";

/// What is to be told of names and resolvers instead of what the VPC says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Resolver {
    /// Addresses of servers.
    pub(crate) servers: Vec<String>,
    /// The domain of short names.
    pub(crate) domain: Option<String>,
    /// Where short names are looked for.
    pub(crate) search: Vec<String>,
    /// Options of the resolver.
    pub(crate) options: Vec<String>,
}

/// Takes what the runtime says of a container's ENI.
pub(crate) fn apply(
    request: &mut CreateTaskRequest,
    configuration: &Map<String, Value>,
) -> Result<(), CniError> {
    let convention = configuration.get("args").and_then(|args| args.get("cni"));
    if let Some(convention) = convention {
        set_addresses(request, "args.cni.ips", convention.get("ips"))?;
        for label in convention.get("labels").and_then(Value::as_array).into_iter().flatten() {
            if let (Some(key), Some(value)) = (text_of(label, "key"), text_of(label, "value")) {
                settings::set_label(request, key, value)?;
            }
        }
    }
    let Some(runtime) = configuration.get("runtimeConfig") else { return Ok(()) };
    for (key, problem) in UNSUPPORTED {
        if let Some(value) = runtime.get(key).filter(|value| !is_empty(value)) {
            return Err(CniError::unsupported(&format!("runtimeConfig.{key}"), value, problem));
        }
    }
    for (key, value) in runtime.get(ANNOTATIONS).and_then(Value::as_object).into_iter().flatten() {
        if let Some(value) = value.as_str() {
            settings::set_label(request, key, value)?;
        }
    }
    set_addresses(request, "runtimeConfig.ips", runtime.get("ips"))
}

/// What the runtime or else the configuration says of name resolution; nothing where neither does.
pub(crate) fn resolver(configuration: &Map<String, Value>) -> Option<Resolver> {
    let runtime = configuration.get("runtimeConfig").and_then(|runtime| runtime.get("dns"));
    // The convention for capabilities has other names than the specification.
    let runtime = runtime.map(|dns| read(dns, "servers", "searches"));
    let own = configuration.get("dns").map(|dns| read(dns, "nameservers", "search"));
    runtime.filter(|one| *one != Resolver::default()).or(own).filter(|one| *one != Resolver::default())
}

fn read(dns: &Value, servers: &str, search: &str) -> Resolver {
    let texts = |key: &str| {
        let values = dns.get(key).and_then(Value::as_array).into_iter().flatten();
        values.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    Resolver {
        servers: texts(servers),
        domain: text_of(dns, "domain").map(str::to_owned),
        search: texts(search),
        options: texts("options"),
    }
}

fn set_addresses(request: &mut CreateTaskRequest, key: &str, value: Option<&Value>) -> Result<(), CniError> {
    let Some(value) = value.filter(|value| !is_empty(value)) else { return Ok(()) };
    let wrong =
        |problem: &str| CniError::new(Code::InvalidConfiguration, format!("invalid {key}: {value}"), problem);
    let (mut ipv4, mut ipv6) = (0, 0);
    for address in value.as_array().ok_or_else(|| wrong(EXPECTED_ADDRESSES))? {
        let address = address.as_str().ok_or_else(|| wrong(EXPECTED_ADDRESSES))?;
        *(if address.contains(':') { &mut ipv6 } else { &mut ipv4 }) += 1;
        set_address(request, address)?;
    }
    if ipv4 > 1 || ipv6 > 1 {
        return Err(wrong("an ENI has one address of each family"));
    }
    Ok(())
}

fn text_of<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// Whether a value is what runtimes write where there is none.
pub(crate) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Object(fields) => fields.values().all(is_empty),
        Value::Number(number) => number.as_u64() == Some(0),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn applied(configuration: &Value) -> Result<CreateTaskRequest, CniError> {
        let mut request = CreateTaskRequest::default();
        apply(&mut request, configuration.as_object().unwrap()).map(|()| request)
    }

    #[test]
    fn addresses_and_labels_are_taken() {
        let request = applied(&json!({
            "args": {"cni": {"ips": ["10.0.0.9"], "labels": [{"key": "enid/subnet", "value": "a"}, {"key": "app", "value": "x"}]}},
            "runtimeConfig": {
                "ips": ["10.0.0.7/24", "fd00::7/64"],
                ANNOTATIONS: {"enid/subnet": "b", "enid/tag.Team": "web", "other/subnet": "c"},
                "portMappings": [], "bandwidth": {"ingressRate": 0}, "cgroupPath": "/x",
            },
        }))
        .unwrap();
        assert_eq!(request.ipv4.as_deref(), Some("10.0.0.7"));
        assert_eq!(request.ipv6.as_deref(), Some("fd00::7"));
        assert_eq!(request.subnet, "b");
        assert_eq!(request.tags["Team"], "web");
    }

    #[test]
    fn what_an_eni_does_not_have_is_refused_by_key_and_value() {
        let error = applied(&json!({"runtimeConfig": {"mac": "02:00:00:00:00:01"}})).unwrap_err();
        assert_eq!(error.code, Code::UnsupportedField);
        assert!(error.message.ends_with("runtimeConfig.mac=\"02:00:00:00:00:01\""), "{error}");
        assert!(applied(&json!({"runtimeConfig": {"portMappings": [{"hostPort": 80}]}})).is_err());
        for ips in [json!("10.0.0.1"), json!([1]), json!(["10.0.0.1", "10.0.0.2"])] {
            assert_eq!(
                applied(&json!({"runtimeConfig": {"ips": ips}})).unwrap_err().code,
                Code::InvalidConfiguration
            );
        }
    }

    #[test]
    fn the_runtimes_resolver_comes_before_the_configurations() {
        let resolver = |configuration: Value| resolver(configuration.as_object().unwrap());
        assert_eq!(resolver(json!({"dns": {}, "runtimeConfig": {"dns": {"servers": []}}})), None);
        let own =
            json!({"nameservers": ["10.0.0.2"], "domain": "a", "search": ["b"], "options": ["ndots:1"]});
        let found = resolver(json!({"dns": own})).unwrap();
        assert_eq!(
            (found.servers.as_slice(), found.domain.as_deref()),
            (&["10.0.0.2".to_owned()][..], Some("a"))
        );
        let found = resolver(
            json!({"dns": own, "runtimeConfig": {"dns": {"servers": ["10.0.0.3"], "searches": ["c"]}}}),
        );
        assert_eq!(
            found.unwrap(),
            Resolver { servers: vec!["10.0.0.3".into()], search: vec!["c".into()], ..Resolver::default() }
        );
    }
}
