//! What a network configuration, a label or an argument can say of a container's ENI: one table of keys for all three.
//!
//! A key is `securityGroups` in a configuration, `enid/security-groups` as a label or an annotation of a pod, and
//! `ENID_SECURITY_GROUPS` in `CNI_ARGS`.

use enid_api::v1::{CreateTaskRequest, EcsTask, IdleTimeouts};
use enid_model::nearest;
use serde_json::Value;

use crate::error::{CniError, Code};

/// What labels that are for enid begin with.
const LABEL: &str = "enid/";
/// What arguments that are for enid begin with.
const ARGUMENT: &str = "ENID_";

/// Puts a value into a request, or says what it should have been.
type Set = fn(&mut CreateTaskRequest, &Value) -> Result<(), &'static str>;

/// Every key of an ENI.
const KEYS: [(&str, Set); 20] = [
    ("task", |request, value| text(value).map(|text| request.name = text)),
    ("subnet", |request, value| text(value).map(|text| request.subnet = text)),
    ("securityGroups", |request, value| list(value).map(|list| request.security_groups = list)),
    ("ipv4", |request, value| text(value).map(|text| request.ipv4 = Some(text))),
    ("ipv6", |request, value| text(value).map(|text| request.ipv6 = Some(text))),
    ("mtu", |request, value| number(value).map(|number| request.mtu = Some(number))),
    ("platformVersion", |request, value| text(value).map(|text| request.platform_version = Some(text))),
    ("tcpEstablishedIdleSeconds", |request, value| {
        number(value).map(|number| idle_timeouts(request).tcp_established = Some(number))
    }),
    ("udpIdleSeconds", |request, value| {
        number(value).map(|number| idle_timeouts(request).udp = Some(number))
    }),
    ("udpStreamIdleSeconds", |request, value| {
        number(value).map(|number| idle_timeouts(request).udp_stream = Some(number))
    }),
    ("clusterArn", |request, value| text(value).map(|text| ecs(request).cluster_arn = Some(text))),
    ("clusterName", |request, value| text(value).map(|text| ecs(request).cluster_name = Some(text))),
    ("serviceName", |request, value| text(value).map(|text| ecs(request).service_name = Some(text))),
    ("taskDefinitionArn", |request, value| {
        text(value).map(|text| ecs(request).task_definition_arn = Some(text))
    }),
    ("taskArn", |request, value| text(value).map(|text| ecs(request).task_arn = Some(text))),
    ("taskId", |request, value| text(value).map(|text| ecs(request).task_id = Some(text))),
    ("containerId", |request, value| text(value).map(|text| ecs(request).container_id = Some(text))),
    ("secondContainerId", |request, value| {
        text(value).map(|text| ecs(request).second_container_id = Some(text))
    }),
    ("tags", tags),
    // Here so that it is known; `tag.KEY` and `TAG_KEY` are the forms that labels and arguments have.
    ("tag", |_, _| Err("expected `tag.KEY` of a label, or `TAG_KEY` of an argument")),
];

/// The names of the keys, in the form of a configuration.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    KEYS.into_iter().map(|(name, _)| name).filter(|name| *name != "tag")
}

/// Takes a key of a configuration, if it is one of these.
pub(crate) fn set_field(
    request: &mut CreateTaskRequest,
    key: &str,
    value: &Value,
) -> Option<Result<(), CniError>> {
    let (_, set) = KEYS.into_iter().find(|(name, _)| *name == key && *name != "tag")?;
    let set = set(request, value);
    Some(set.map_err(|expected| {
        CniError::new(Code::InvalidConfiguration, format!("invalid {key}: {value}"), expected)
    }))
}

/// Takes a label, if it is for enid.
pub(crate) fn set_label(request: &mut CreateTaskRequest, key: &str, value: &str) -> Result<(), CniError> {
    let Some(name) = key.strip_prefix(LABEL) else { return Ok(()) };
    if let Some(tag) = name.strip_prefix("tag.") {
        request.tags.insert(tag.to_owned(), value.to_owned());
        return Ok(());
    }
    set_text(request, name, value, '-', str::to_ascii_lowercase, |suggestion, expected| {
        let suggestion = suggestion.map(|name| format!("did you mean `{LABEL}{name}`?"));
        let problem = expected.map(str::to_owned).or(suggestion).unwrap_or_default();
        CniError::new(
            Code::InvalidConfiguration,
            format!("invalid label or annotation: {key}={value:?}"),
            problem,
        )
    })
}

/// Takes an argument, if it is for enid; says whether it was.
pub(crate) fn set_argument(
    request: &mut CreateTaskRequest,
    key: &str,
    value: &str,
) -> Result<bool, CniError> {
    let Some(name) = key.strip_prefix(ARGUMENT) else { return Ok(false) };
    if let Some(tag) = name.strip_prefix("TAG_") {
        request.tags.insert(tag.to_owned(), value.to_owned());
        return Ok(true);
    }
    set_text(request, name, value, '_', str::to_ascii_uppercase, |suggestion, expected| {
        let suggestion = suggestion.map(|name| format!("did you mean `{ARGUMENT}{name}`?"));
        let problem = expected.map(str::to_owned).or(suggestion).unwrap_or_default();
        CniError::new(Code::InvalidEnvironment, format!("invalid CNI_ARGS: {key}={value}"), problem)
    })?;
    Ok(true)
}

/// Takes a key in another form than a configuration's; `error` is given the nearest known name, or what was expected.
fn set_text(
    request: &mut CreateTaskRequest,
    name: &str,
    value: &str,
    separator: char,
    case: fn(&str) -> String,
    error: impl Fn(Option<&str>, Option<&str>) -> CniError,
) -> Result<(), CniError> {
    let forms = KEYS.map(|(name, _)| case(&separated(name, separator)));
    let found = forms.iter().zip(KEYS).find(|(form, (key, _))| *form == name && *key != "tags");
    let Some((_, (_, set))) = found else {
        let forms: Vec<&str> = forms.iter().map(String::as_str).collect();
        return Err(error(nearest(name, &forms), None));
    };
    set(request, &Value::from(value)).map_err(|expected| error(None, Some(expected)))
}

/// `securityGroups` as `security-Groups`.
fn separated(name: &str, separator: char) -> String {
    name.chars().fold(String::new(), |mut text, letter| {
        if letter.is_ascii_uppercase() {
            text.push(separator);
        }
        text.push(letter);
        text
    })
}

fn text(value: &Value) -> Result<String, &'static str> {
    match value.as_str() {
        Some(text) if !text.is_empty() => Ok(text.to_owned()),
        _ => Err("expected a text that is not empty"),
    }
}

fn number(value: &Value) -> Result<u32, &'static str> {
    let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
    // Labels and arguments are text.
    number.or_else(|| value.as_str()?.parse().ok()).ok_or("expected a number that is not negative")
}

/// A list of texts; of a label or an argument, separated by commas.
fn list(value: &Value) -> Result<Vec<String>, &'static str> {
    match value {
        Value::Array(values) => {
            values.iter().map(text).collect::<Result<_, _>>().map_err(|_| "expected texts")
        }
        Value::String(texts) => {
            Ok(texts.split(',').map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned).collect())
        }
        _ => Err("expected a list of texts"),
    }
}

fn tags(request: &mut CreateTaskRequest, value: &Value) -> Result<(), &'static str> {
    const EXPECTED: &str = "expected an object whose values are texts";
    for (key, value) in value.as_object().ok_or(EXPECTED)? {
        request.tags.insert(key.clone(), value.as_str().ok_or(EXPECTED)?.to_owned());
    }
    Ok(())
}

fn ecs(request: &mut CreateTaskRequest) -> &mut EcsTask {
    request.ecs.get_or_insert_default()
}

fn idle_timeouts(request: &mut CreateTaskRequest) -> &mut IdleTimeouts {
    request.idle_timeouts.get_or_insert_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_key_is_the_same_in_each_of_its_forms() {
        let (mut by_field, mut by_label, mut by_argument) = Default::default();
        set_field(&mut by_field, "securityGroups", &json!(["web", "db"])).unwrap().unwrap();
        set_field(&mut by_field, "mtu", &json!(1500)).unwrap().unwrap();
        set_field(&mut by_field, "taskDefinitionArn", &json!("arn:x")).unwrap().unwrap();
        set_field(&mut by_field, "tags", &json!({"Team": "a"})).unwrap().unwrap();
        for (key, value) in [
            ("security-groups", "web, db"),
            ("mtu", "1500"),
            ("task-definition-arn", "arn:x"),
            ("tag.Team", "a"),
        ] {
            set_label(&mut by_label, &format!("enid/{key}"), value).unwrap();
        }
        for (key, value) in [
            ("SECURITY_GROUPS", "web,db"),
            ("MTU", "1500"),
            ("TASK_DEFINITION_ARN", "arn:x"),
            ("TAG_Team", "a"),
        ] {
            assert!(set_argument(&mut by_argument, &format!("ENID_{key}"), value).unwrap());
        }
        assert_eq!(by_field, by_label);
        assert_eq!(by_field, by_argument);
        assert_eq!(by_field.security_groups, ["web", "db"]);
    }

    #[test]
    fn every_key_can_be_set_by_an_argument_and_a_label() {
        for name in names().filter(|name| *name != "tags") {
            let (mut by_label, mut by_argument) = Default::default();
            let label = format!("enid/{}", separated(name, '-').to_ascii_lowercase());
            let argument = format!("ENID_{}", separated(name, '_').to_ascii_uppercase());
            set_label(&mut by_label, &label, "77").unwrap();
            set_argument(&mut by_argument, &argument, "77").unwrap();
            assert_eq!(by_label, by_argument, "{name}");
            assert_ne!(by_label, CreateTaskRequest::default(), "{name}");
        }
    }

    #[test]
    fn what_is_not_for_enid_is_left_alone() {
        let mut request = CreateTaskRequest::default();
        set_label(&mut request, "app", "web").unwrap();
        set_label(&mut request, "example.com/enid", "web").unwrap();
        assert!(!set_argument(&mut request, "K8S_POD_NAME", "web").unwrap());
        assert!(set_field(&mut request, "ipam", &json!({})).is_none());
        assert!(set_field(&mut request, "tag", &json!("x")).is_none());
        assert_eq!(request, CreateTaskRequest::default());
    }

    #[test]
    fn errors_say_what_was_expected_or_meant() {
        let mut request = CreateTaskRequest::default();
        let error = set_field(&mut request, "mtu", &json!(-1)).unwrap().unwrap_err();
        assert_eq!(error.to_string(), "invalid mtu: -1: expected a number that is not negative");
        let error = set_label(&mut request, "enid/subnets", "a").unwrap_err();
        assert_eq!(error.details, "did you mean `enid/subnet`?");
        let error = set_argument(&mut request, "ENID_SECURITY_GROUP", "a").unwrap_err();
        assert_eq!(error.details, "did you mean `ENID_SECURITY_GROUPS`?");
        assert_eq!(error.code, Code::InvalidEnvironment);
        for value in [json!(7), json!({"a": 1}), json!(["a"])] {
            assert_eq!(
                set_field(&mut request, "tags", &value).unwrap().unwrap_err().code,
                Code::InvalidConfiguration
            );
        }
    }
}
