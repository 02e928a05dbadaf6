//! The parameters of a call, which are variables of the environment.

use std::ffi::OsString;

use crate::error::{CniError, Code};

/// What a runtime wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    /// Give a container an ENI.
    Add,
    /// Take it away.
    Del,
    /// Say whether it is as it was given.
    Check,
    /// Take away those of containers that are gone.
    Gc,
    /// Say whether containers can be added.
    Status,
    /// Say which versions are supported.
    Version,
}

const VERBS: [(&str, Verb); 6] = [
    ("ADD", Verb::Add),
    ("DEL", Verb::Del),
    ("CHECK", Verb::Check),
    ("GC", Verb::Gc),
    ("STATUS", Verb::Status),
    ("VERSION", Verb::Version),
];

/// The verb.
pub(crate) const COMMAND: &str = "CNI_COMMAND";
/// The container's id.
pub(crate) const CONTAINER: &str = "CNI_CONTAINERID";
/// The path of its network namespace.
pub(crate) const NETNS: &str = "CNI_NETNS";
/// What its interface is to be called.
pub(crate) const INTERFACE: &str = "CNI_IFNAME";
/// Arguments, as `KEY=VALUE;KEY=VALUE`.
pub(crate) const ARGUMENTS: &str = "CNI_ARGS";

/// The container of a call. Which of it is required depends on the verb.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Container {
    /// Its id.
    pub(crate) id: String,
    /// The path of its namespace; empty where it has none any more.
    pub(crate) netns: String,
    /// What its interface is called in there.
    pub(crate) interface: String,
    /// The text of `CNI_ARGS`.
    pub(crate) arguments: String,
}

/// Reads variables, by `lookup`.
pub(crate) struct Environment<L>(pub(crate) L);

impl<L: Fn(&str) -> Option<OsString>> Environment<L> {
    /// The verb.
    pub(crate) fn verb(&self) -> Result<Verb, CniError> {
        let text = self.text(COMMAND)?;
        if text.is_empty() {
            return Err(missing(&[COMMAND]));
        }
        VERBS.into_iter().find(|(name, _)| *name == text).map(|(_, verb)| verb).ok_or_else(|| {
            let names = VERBS.map(|(name, _)| name).join(", ");
            invalid(COMMAND, &text, &format!("expected one of {names}"))
        })
    }

    /// The container, with all that a verb needs of it.
    pub(crate) fn container(&self, verb: Verb) -> Result<Container, CniError> {
        let container = Container {
            id: self.text(CONTAINER)?,
            netns: self.text(NETNS)?,
            interface: self.text(INTERFACE)?,
            arguments: self.text(ARGUMENTS)?,
        };
        let required: &[(&str, &str)] = match verb {
            Verb::Add | Verb::Check => {
                &[(CONTAINER, &container.id), (NETNS, &container.netns), (INTERFACE, &container.interface)]
            }
            Verb::Del => &[(CONTAINER, &container.id), (INTERFACE, &container.interface)],
            Verb::Gc | Verb::Status | Verb::Version => return Ok(container),
        };
        let absent: Vec<&str> =
            required.iter().filter(|(_, value)| value.is_empty()).map(|(name, _)| *name).collect();
        if !absent.is_empty() {
            return Err(missing(&absent));
        }
        if let Some(problem) = name_problem(&container.id) {
            return Err(invalid(CONTAINER, &container.id, problem));
        }
        // The daemon would look for another file than the runtime means.
        if !container.netns.is_empty() && !container.netns.starts_with('/') && verb != Verb::Del {
            return Err(invalid(NETNS, &container.netns, "expected an absolute path"));
        }
        if let Some(problem) = interface_problem(&container.interface) {
            return Err(invalid(INTERFACE, &container.interface, problem));
        }
        Ok(container)
    }

    fn text(&self, name: &str) -> Result<String, CniError> {
        let value = self.0(name).unwrap_or_default();
        value.into_string().map_err(|value| invalid(name, &value.to_string_lossy(), "it is not UTF-8"))
    }
}

/// The error for variables that are not set.
fn missing(names: &[&str]) -> CniError {
    let names = names.join(", ");
    CniError::new(
        Code::InvalidEnvironment,
        format!("required variables are missing: {names}"),
        "a container runtime sets them: see docs/cni.md",
    )
}

/// The error for a variable whose value is wrong.
pub(crate) fn invalid(name: &str, value: &str, problem: &str) -> CniError {
    CniError::new(Code::InvalidEnvironment, format!("invalid {name}: {value:?}"), problem)
}

/// What is wrong with the name of a network or the id of a container, if anything. The specification has no limit to their
/// length.
pub(crate) fn name_problem(text: &str) -> Option<&'static str> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    if !text.bytes().all(allowed) || !text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric()) {
        return Some("expected a letter or digit, and then letters, digits, `_`, `.` and `-`");
    }
    None
}

/// What is wrong with the name of an interface, if anything.
fn interface_problem(text: &str) -> Option<&'static str> {
    if text.len() > 15 {
        return Some("an interface's name has at most 15 bytes");
    }
    let forbidden = |letter: char| letter.is_whitespace() || letter.is_control() || "/:".contains(letter);
    if matches!(text, "." | "..") || text.chars().any(forbidden) {
        return Some("it can't be an interface's name");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(
        variables: &'static [(&'static str, &'static str)],
    ) -> Environment<impl Fn(&str) -> Option<OsString>> {
        Environment(|name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn names_what_is_missing_or_wrong() {
        let error = environment(&[]).verb().unwrap_err();
        assert_eq!(
            (error.code, error.message.as_str()),
            (Code::InvalidEnvironment, "required variables are missing: CNI_COMMAND")
        );
        let error = environment(&[("CNI_COMMAND", "add")]).verb().unwrap_err();
        assert_eq!(error.message, "invalid CNI_COMMAND: \"add\"");
        let error = environment(&[("CNI_IFNAME", "eth0")]).container(Verb::Add).unwrap_err();
        assert_eq!(error.message, "required variables are missing: CNI_CONTAINERID, CNI_NETNS");
        let error = environment(&[("CNI_CONTAINERID", "-x"), ("CNI_IFNAME", "eth0")])
            .container(Verb::Del)
            .unwrap_err();
        assert_eq!(error.message, "invalid CNI_CONTAINERID: \"-x\"");
    }

    #[test]
    fn a_delete_needs_no_namespace_and_a_collection_no_container() {
        let known =
            environment(&[("CNI_CONTAINERID", "x"), ("CNI_IFNAME", "eth0")]).container(Verb::Del).unwrap();
        assert_eq!((known.id.as_str(), known.netns.as_str()), ("x", ""));
        for verb in [Verb::Gc, Verb::Status, Verb::Version] {
            assert_eq!(environment(&[]).container(verb).unwrap(), Container::default());
        }
    }

    #[test]
    fn interfaces_have_names_that_the_kernel_takes() {
        for name in [".", "..", "a b", "a/b", "a:b", "a\n", "sixteen-letters-"] {
            assert!(interface_problem(name).is_some(), "{name:?}");
        }
        assert_eq!(interface_problem("eth0"), None);
    }
}
