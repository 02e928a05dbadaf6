//! The network configuration on standard input.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use enid_api::v1::CreateTaskRequest;
use enid_model::nearest;
use serde_json::{Map, Value};

use crate::attachment::{Attachment, OWN_TAGS};
use crate::environment::{self, CONTAINER, Container, name_problem};
use crate::error::{CniError, Code};
use crate::runtime_config::{self, Resolver};
use crate::version::CniVersion;
use crate::{arguments, settings};

/// The most that a configuration may have in bytes. One with 1,000 valid attachments has 100,000.
pub(crate) const MOST_BYTES: u64 = 1 << 20;

/// The longest value of a tag, which a container's id and a network's name become.
const LONGEST_TAG: usize = 256;

const SOCKET: &str = "/run/enid/enid.sock";
/// How long a call may take, unless the configuration says otherwise.
const SECONDS: u64 = 10;
/// The most that it can say.
const MOST_SECONDS: u64 = 3600;

/// Keys that the specification or a runtime puts there, and that need nothing done.
const WELL_KNOWN: [&str; 12] = [
    "cniVersion",
    "cniVersions",
    "name",
    "type",
    "args",
    "capabilities",
    "runtimeConfig",
    "prevResult",
    "dns",
    "disableCheck",
    "disableGC",
    "loadOnlyInlinedPlugins",
];
/// The key whose object holds enid's own keys, which may stand beside it, too.
const OWN: &str = "enid";
/// Keys of the specification that mean something which enid does not do.
const UNSUPPORTED: [(&str, &str); 2] = [
    ("ipam", "addresses come from the VPC's subnet: leave it out"),
    ("ipMasq", "the VPC's uplink decides that: `uplink = \"nat\"` in the network file"),
];
/// enid's keys that are not of an ENI.
const PLUGIN_KEYS: [&str; 2] = ["socket", "timeoutSeconds"];

/// A network configuration, read as far as every verb needs it: what of it concerns an ENI is for those that make one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Configuration {
    /// The version of the specification that the runtime speaks.
    pub(crate) version: CniVersion,
    /// The network's name.
    pub(crate) name: String,
    /// Where the daemon listens.
    pub(crate) socket: PathBuf,
    /// How long the call may take.
    pub(crate) timeout: Duration,
    fields: Map<String, Value>,
}

/// The fields of a configuration.
pub(crate) fn decode(bytes: &[u8]) -> Result<Map<String, Value>, CniError> {
    let wrong = |problem: String| {
        CniError::new(Code::Decode, "the network configuration on standard input can't be decoded", problem)
    };
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(wrong("expected a JSON object".to_owned())),
        Err(error) if bytes.is_empty() => Err(wrong(format!("there is nothing: {error}"))),
        Err(error) => Err(wrong(error.to_string())),
    }
}

/// The version that fields claim.
pub(crate) fn version(fields: &Map<String, Value>) -> Result<CniVersion, CniError> {
    let text = match fields.get("cniVersion") {
        Some(Value::String(text)) => text.as_str(),
        Some(other) => return Err(invalid("cniVersion", other, "expected a text")),
        // What a configuration without one is.
        None => "0.1.0",
    };
    CniVersion::parse(text).ok_or_else(|| {
        let supported = crate::version::SUPPORTED.map(CniVersion::as_str).join(", ");
        CniError::new(
            Code::IncompatibleVersion,
            format!("incompatible CNI version: {text}"),
            format!("supported are {supported}"),
        )
    })
}

impl Configuration {
    /// Reads what every verb needs.
    pub(crate) fn read(version: CniVersion, fields: Map<String, Value>) -> Result<Self, CniError> {
        let name = match fields.get("name") {
            Some(Value::String(name)) => name.clone(),
            Some(other) => return Err(invalid("name", other, "expected a text")),
            None => {
                return Err(CniError::new(
                    Code::InvalidConfiguration,
                    "the network configuration has no name",
                    "",
                ));
            }
        };
        if let Some(problem) = name_problem(&name) {
            return Err(invalid("name", &name.into(), problem));
        }
        let own = match fields.get(OWN) {
            None => None,
            Some(Value::Object(own)) => Some(own),
            Some(other) => return Err(invalid(OWN, other, "expected an object")),
        };
        let plugin_key = |key: &str| own.and_then(|own| own.get(key)).or_else(|| fields.get(key));
        let socket = match plugin_key("socket") {
            None => SOCKET.into(),
            Some(Value::String(path)) if path.starts_with('/') => path.into(),
            Some(other) => return Err(invalid("socket", other, "expected an absolute path")),
        };
        let seconds = match plugin_key("timeoutSeconds") {
            None => SECONDS,
            Some(value) => value
                .as_u64()
                .filter(|seconds| (1..=MOST_SECONDS).contains(seconds))
                .ok_or_else(|| invalid("timeoutSeconds", value, &format!("expected 1 to {MOST_SECONDS}")))?,
        };
        Ok(Self { version, name, socket, timeout: Duration::from_secs(seconds), fields })
    }

    /// What a container is in this network.
    pub(crate) fn attachment(&self, container: &Container) -> Attachment {
        Attachment {
            network: self.name.clone(),
            container: container.id.clone(),
            interface: container.interface.clone(),
        }
    }

    /// What is to be made for a container: what the configuration says, then labels, then the runtime, then the arguments.
    pub(crate) fn request(&self, container: &Container) -> Result<CreateTaskRequest, CniError> {
        let mut request = self.template()?;
        runtime_config::apply(&mut request, &self.fields)?;
        arguments::apply(&mut request, &container.arguments)?;
        if let Some(key) = request.tags.keys().find(|key| key.starts_with(OWN_TAGS)) {
            let problem = format!("tags that begin with `{OWN_TAGS}` are this plugin's own");
            return Err(invalid("tags", &key.clone().into(), &problem));
        }
        if request.subnet.is_empty() {
            let (message, details) =
                ("the network configuration names no subnet", "put in `\"subnet\": \"NAME\"`");
            return Err(CniError::new(Code::InvalidConfiguration, message, details));
        }
        if container.id.len() > LONGEST_TAG {
            return Err(environment::invalid(CONTAINER, &container.id, "it is longer than 256 characters"));
        }
        if self.name.len() > LONGEST_TAG {
            return Err(invalid("name", &self.name.clone().into(), "it is longer than 256 characters"));
        }
        let attachment = self.attachment(container);
        request.tags.extend(attachment.tags());
        if request.name.is_empty() {
            request.name = attachment.task_name();
        }
        let ecs = request.ecs.get_or_insert_default();
        ecs.container_id.get_or_insert_with(|| container.id.clone());
        request.netns = Some(container.netns.clone());
        Ok(request)
    }

    /// What is said of every container's ENI; nothing else may be in the configuration.
    pub(crate) fn template(&self) -> Result<CreateTaskRequest, CniError> {
        let mut request = CreateTaskRequest::default();
        for (key, value) in &self.fields {
            match value {
                Value::Object(own) if key == OWN => {
                    for (key, value) in own {
                        self.set(&mut request, key, value, &[])?;
                    }
                }
                _ => self.set(&mut request, key, value, &WELL_KNOWN)?,
            }
        }
        Ok(request)
    }

    fn set(
        &self,
        request: &mut CreateTaskRequest,
        key: &str,
        value: &Value,
        well_known: &[&str],
    ) -> Result<(), CniError> {
        // A key with a domain in it is somebody's extension, as the specification's own `cni.dev/…`.
        if well_known.contains(&key) || PLUGIN_KEYS.contains(&key) || key.contains(['.', '/']) {
            return Ok(());
        }
        if let Some((_, problem)) = UNSUPPORTED.iter().find(|(unsupported, _)| *unsupported == key) {
            let nothing = runtime_config::is_empty(value);
            return if nothing { Ok(()) } else { Err(CniError::unsupported(key, value, *problem)) };
        }
        // One key, one value: which of two would win is nobody's to guess.
        if !well_known.is_empty() && self.fields.get(OWN).is_some_and(|own| own.get(key).is_some()) {
            return Err(invalid(key, value, "it is in `enid`, too"));
        }
        settings::set_field(request, key, value).unwrap_or_else(|| {
            let known: Vec<&str> = settings::names().chain(PLUGIN_KEYS).collect();
            let details = nearest(key, &known).map(|name| format!("did you mean `{name}`?"));
            Err(CniError::unsupported(key, value, details.unwrap_or_default()))
        })
    }

    /// What is to be told of name resolution instead of what the VPC says.
    pub(crate) fn resolver(&self) -> Option<Resolver> {
        runtime_config::resolver(&self.fields)
    }

    /// The result of the plugins before this one, or of this one's own ADD.
    pub(crate) fn previous_result(&self) -> Option<&Value> {
        self.fields.get("prevResult").filter(|result| !result.is_null())
    }

    /// The containers of this network that are not to be collected.
    pub(crate) fn valid_attachments(&self) -> Result<BTreeSet<Attachment>, CniError> {
        const KEYS: [&str; 2] = ["cni.dev/valid-attachments", "cni.dev/attachments"];
        let Some((key, value)) = KEYS.iter().find_map(|key| Some((*key, self.fields.get(*key)?))) else {
            let (message, details) =
                (format!("the network configuration has no {}", KEYS.join(" or ")), "nothing was deleted");
            return Err(CniError::new(Code::InvalidConfiguration, message, details));
        };
        let wrong = || invalid(key, value, "expected a list of objects with containerID and ifname");
        let text = |entry: &Value, key: &str| entry.get(key)?.as_str().map(str::to_owned);
        let entries = match value {
            // An empty list, as Go writes it.
            Value::Null => &[],
            Value::Array(entries) => entries.as_slice(),
            _ => return Err(wrong()),
        };
        let attachment = |entry: &Value| {
            let (container, interface) = (text(entry, "containerID")?, text(entry, "ifname")?);
            Some(Attachment { network: self.name.clone(), container, interface })
        };
        entries.iter().map(|entry| attachment(entry).ok_or_else(wrong)).collect()
    }
}

fn invalid(key: &str, value: &Value, problem: &str) -> CniError {
    CniError::new(Code::InvalidConfiguration, format!("invalid {key}: {value}"), problem)
}

#[cfg(test)]
mod tests;
