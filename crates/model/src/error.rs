//! What can be wrong with a value that a user wrote.

/// A value refused at the edge: what it was meant to be, what it is, and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// The text is not of the kind's form.
    #[error("`{value}` is not {kind}: {reason}")]
    Malformed {
        /// What the value was meant to be, with its article: "an ENI id".
        kind: &'static str,
        /// The text as given.
        value: String,
        /// What is wrong with it, or what the form is.
        reason: String,
    },
    /// The number is outside what the kind allows.
    #[error("{kind} {value} is out of range: {min} to {max}")]
    OutOfRange {
        /// What the number is: "MTU".
        kind: &'static str,
        /// The number as given.
        value: u64,
        /// The smallest that is allowed.
        min: u64,
        /// The largest that is allowed.
        max: u64,
    },
}

impl ModelError {
    pub(crate) fn malformed(kind: &'static str, value: &str, reason: impl Into<String>) -> Self {
        Self::Malformed { kind, value: value.to_owned(), reason: reason.into() }
    }
}

/// Serialise through `Display` and parse through `FromStr`, so that what is stored is what a person would write
/// and what is read back is checked again.
macro_rules! serde_as_text {
    ($type:ty) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use serde_as_text;
