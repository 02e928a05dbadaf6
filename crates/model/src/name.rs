//! Names that users choose.

use std::fmt;
use std::str::FromStr;

use crate::DEFAULT_SECURITY_GROUP;
use crate::error::{ModelError, serde_as_text};

fn check(kind: &'static str, text: &str, longest: usize) -> Result<(), ModelError> {
    if text.is_empty() || text.len() > longest {
        return Err(ModelError::malformed(kind, text, format!("expected 1 to {longest} characters")));
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if !text.bytes().all(allowed) {
        return Err(ModelError::malformed(kind, text, "only letters, digits, `-`, `_` and `.` are allowed"));
    }
    // A leading dot or dash would be a hidden file, a parent directory or an option.
    if !text.as_bytes()[0].is_ascii_alphanumeric() {
        return Err(ModelError::malformed(kind, text, "it must begin with a letter or a digit"));
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $longest:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = ModelError;

            fn from_str(text: &str) -> Result<Self, ModelError> {
                check($kind, text, $longest)?;
                Ok(Self(text.to_owned()))
            }
        }

        serde_as_text!($name);
    };
}

name!(
    /// The name of a VPC, a subnet, a zone, a security group or a prefix list: 1 to 63 letters, digits, `-`, `_` and `.`.
    Name, "a name", 63
);
name!(
    /// The name of a task, which is also the name of its network namespace: 1 to 128 letters, digits, `-`, `_`
    /// and `.`, so that it is a file name in `/run/netns` whatever a runtime calls its tasks.
    TaskName, "a task name", 128
);

impl Name {
    /// The name of the group that every VPC has.
    pub(crate) fn default_security_group() -> Self {
        Self(DEFAULT_SECURITY_GROUP.to_owned())
    }

    /// The domain of private names, unless a VPC has its own.
    pub(crate) fn default_domain() -> Self {
        Self("internal".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_is_not_a_plain_file_name() {
        for text in ["", ".", "..", "a/b", "-a", ".a", "a b", "ä", &"a".repeat(129)] {
            assert!(text.parse::<TaskName>().is_err(), "{text}");
        }
        for text in ["a", "web-1", "0_a.b", &"a".repeat(128)] {
            assert_eq!(text.parse::<TaskName>().unwrap().as_str(), text);
        }
    }
}
