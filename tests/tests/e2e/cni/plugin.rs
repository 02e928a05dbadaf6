//! Calling plugins as runtimes do.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use enid_netns::Namespace;
use enid_testbed::namespace::{self, inside};
use enid_testbed::{Host, program};
use serde_json::{Value, json};

/// What a plugin answered.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Outcome {
    pub(super) success: bool,
    /// Null where it wrote nothing.
    pub(super) value: Value,
}

impl Outcome {
    /// The result of a call that must have succeeded.
    #[track_caller]
    pub(super) fn result(self) -> Value {
        assert!(self.success, "{}", self.value);
        self.value
    }

    /// The code and the text of an error, which must be in the form of the specification.
    #[track_caller]
    pub(super) fn error(self) -> (u64, String) {
        assert!(!self.success, "{}", self.value);
        let value = self.value;
        assert!(value["cniVersion"].is_string() && value["msg"].is_string(), "{value}");
        let details = value.get("details").map(|details| details.as_str().unwrap()).unwrap_or_default();
        (value["code"].as_u64().unwrap(), format!("{}: {details}", value["msg"].as_str().unwrap()))
    }

    #[track_caller]
    pub(super) fn assert_code(self, code: u64) {
        let (found, text) = self.error();
        assert_eq!(found, code, "{text}");
    }
}

/// A container as a runtime has it: an id, and a namespace that the runtime made.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) id: String,
    pub(super) path: PathBuf,
    pub(super) namespace: Namespace,
}

impl Container {
    #[track_caller]
    pub(super) fn new(host: &Host, id: &str) -> Self {
        let path = host.folder().join(format!("container-{id}"));
        let namespace = namespace::create(&path);
        Self { id: id.to_owned(), path, namespace }
    }

    /// The variables of a call about it.
    pub(super) fn variables(&self) -> Vec<(String, String)> {
        let text = [
            ("CNI_CONTAINERID", self.id.clone()),
            ("CNI_NETNS", self.netns()),
            ("CNI_IFNAME", "eth0".to_owned()),
        ];
        text.map(|(name, value)| (name.to_owned(), value)).into()
    }

    pub(super) fn netns(&self) -> String {
        self.path.display().to_string()
    }
}

/// A network of the host's, in a subnet; `more` is what else its configuration has.
pub(super) fn network(host: &Host, version: &str, name: &str, subnet: &str, more: Value) -> Value {
    let mut configuration = json!({
        "cniVersion": version, "name": name, "type": "enid-cni", "socket": host.socket(), "subnet": subnet,
    });
    let Value::Object(more) = more else { panic!("an object") };
    configuration.as_object_mut().unwrap().extend(more);
    configuration
}

/// A configuration with one key more.
pub(super) fn with(configuration: &Value, key: &str, value: impl Into<Value>) -> Value {
    let mut changed = configuration.clone();
    changed[key] = value.into();
    changed
}

/// Calls enid's plugin with the variables that `environment` has, and no others.
#[track_caller]
pub(super) fn call_with(host: &Host, verb: &str, input: &[u8], environment: &[(String, String)]) -> Outcome {
    let (outcome, logged) = call_program(host, &program("enid-cni"), verb, input, environment);
    assert_eq!(logged, "");
    outcome
}

/// Calls a plugin. Returns what it has logged, too.
#[track_caller]
pub(super) fn call_program(
    host: &Host,
    program: &Path,
    verb: &str,
    input: &[u8],
    environment: &[(String, String)],
) -> (Outcome, String) {
    let mut command = Command::new(program);
    command.env_clear().env("CNI_COMMAND", verb).env("CNI_PATH", "/usr/lib/cni");
    command.envs(environment.iter().cloned());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = inside(host.namespace(), || {
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        // One that needs no input may be gone already.
        let _ = child.stdin.take().unwrap().write_all(input);
        child.wait_with_output().unwrap()
    });
    let text = String::from_utf8(output.stdout).expect("text");
    let value = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).expect("JSON") };
    (
        Outcome { success: output.status.success(), value },
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

/// Calls the plugin about a container.
#[track_caller]
pub(super) fn call(host: &Host, verb: &str, configuration: &Value, container: &Container) -> Outcome {
    call_with(host, verb, configuration.to_string().as_bytes(), &container.variables())
}

/// Calls the plugin about a network.
#[track_caller]
pub(super) fn call_network(host: &Host, verb: &str, configuration: &Value) -> Outcome {
    call_with(host, verb, configuration.to_string().as_bytes(), &[])
}
