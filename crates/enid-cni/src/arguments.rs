//! `CNI_ARGS`: `KEY=VALUE` pairs with semicolons between them.

use enid_api::v1::CreateTaskRequest;
use serde_json::Value;

use crate::environment::{ARGUMENTS, invalid};
use crate::error::CniError;
use crate::settings;

/// Arguments of Kubernetes' runtimes, and the tags of the ENI that hold them.
const TAGS: [(&str, &str); 3] = [
    ("K8S_POD_NAMESPACE", "kubernetes:namespace"),
    ("K8S_POD_NAME", "kubernetes:pod"),
    ("K8S_POD_UID", "kubernetes:pod-uid"),
];

/// Arguments that say nothing of use: the first is the container's id once more.
const IGNORED: [&str; 2] = ["K8S_POD_INFRA_CONTAINER_ID", "IgnoreUnknown"];

/// Takes what the arguments say of a container's ENI.
///
/// # Errors
/// A part is no pair, or a key is unknown and the arguments do not tell to ignore such. One that begins with `ENID_` is meant
/// for this plugin and never ignored.
pub(crate) fn apply(request: &mut CreateTaskRequest, text: &str) -> Result<(), CniError> {
    let mut pairs = Vec::new();
    for part in text.split(';').filter(|part| !part.is_empty()) {
        pairs.push(part.split_once('=').ok_or_else(|| invalid(ARGUMENTS, part, "expected KEY=VALUE"))?);
    }
    let is_true = |value: &str| matches!(value, "1" | "true" | "TRUE" | "True");
    let ignore = pairs.iter().any(|(key, value)| *key == "IgnoreUnknown" && is_true(value));
    for (key, value) in pairs {
        if settings::set_argument(request, key, value)? || IGNORED.contains(&key) {
            continue;
        }
        if let Some((_, tag)) = TAGS.iter().find(|(argument, _)| *argument == key) {
            request.tags.insert((*tag).to_owned(), value.to_owned());
        } else if key == "IP" {
            // The specification's own convention, of before there were capabilities.
            set_address(request, value)?;
        } else if !ignore {
            let problem = "unknown, and without IgnoreUnknown=true an error";
            return Err(invalid(ARGUMENTS, &format!("{key}={value}"), problem));
        }
    }
    Ok(())
}

/// Takes an address of either family, with or without a prefix length.
pub(crate) fn set_address(request: &mut CreateTaskRequest, text: &str) -> Result<(), CniError> {
    let address = text.split('/').next().unwrap_or(text);
    let key = if address.contains(':') { "ipv6" } else { "ipv4" };
    settings::set_field(request, key, &Value::from(address)).unwrap_or(Ok(()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::Code;

    fn applied(text: &str) -> Result<CreateTaskRequest, CniError> {
        let mut request = CreateTaskRequest::default();
        apply(&mut request, text).map(|()| request)
    }

    #[test]
    fn pods_are_known_by_tags() {
        let text = "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0;K8S_POD_INFRA_CONTAINER_ID=0123;K8S_POD_UID=7";
        let request = applied(text).unwrap();
        let tags: Vec<_> = request.tags.into_iter().collect();
        let expected =
            [("kubernetes:namespace", "shop"), ("kubernetes:pod", "web-0"), ("kubernetes:pod-uid", "7")];
        assert_eq!(tags, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }

    #[test]
    fn what_is_unknown_is_refused_unless_told() {
        assert_eq!(applied("FOO=BAR").unwrap_err().code, Code::InvalidEnvironment);
        assert!(applied("FOO=BAR;IgnoreUnknown=true").is_ok());
        assert!(applied("FOO=BAR;IgnoreUnknown=0").is_err());
        let error = applied("IgnoreUnknown=1;ENID_SUBNT=a").unwrap_err();
        assert_eq!(error.details, "did you mean `ENID_SUBNET`?");
        assert_eq!(applied("nonsense").unwrap_err().details, "expected KEY=VALUE");
    }

    #[test]
    fn addresses_are_of_either_family() {
        let request = applied("IP=10.0.0.7/24;;ENID_SUBNET=a=b").unwrap();
        assert_eq!((request.ipv4.as_deref(), request.subnet.as_str()), (Some("10.0.0.7"), "a=b"));
        assert_eq!(applied("IP=fd00::7").unwrap().ipv6.as_deref(), Some("fd00::7"));
    }

    proptest! {
        #[test]
        fn any_text_is_taken_or_refused(text in ".{0,200}") {
            let _ = applied(&text);
        }
    }
}
