//! What goes to standard output.

use serde_json::{Value, json};

use crate::error::CniError;
use crate::version::CniVersion;

/// The outcome of a call: what is written, and whether it is a success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    text: String,
    success: bool,
}

impl Answer {
    /// A success, with what the verb returns, if anything.
    pub(crate) fn success(result: Option<&Value>) -> Self {
        Self { text: result.map(ToString::to_string).unwrap_or_default(), success: true }
    }

    /// An error, in the form of a version.
    pub(crate) fn error(version: CniVersion, error: &CniError) -> Self {
        let mut value = json!({
            "cniVersion": version.as_str(),
            "code": error.code as u32,
            "msg": error.message,
        });
        if !error.details.is_empty() {
            value["details"] = error.details.clone().into();
        }
        Self { text: value.to_string(), success: false }
    }

    /// The text for standard output.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether the exit code is 0.
    pub(crate) const fn is_success(&self) -> bool {
        self.success
    }
}
