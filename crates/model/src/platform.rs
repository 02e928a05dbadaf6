//! Platform versions, which decide what the task's ENI carries.

use std::fmt;
use std::str::FromStr;

use crate::error::{ModelError, serde_as_text};

/// A platform version. `LATEST` is resolved when it is parsed, so what is stored and shown is always a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum PlatformVersion {
    /// 1.4.0: every traffic class takes the task's ENI.
    #[default]
    V1_4_0,
}

impl PlatformVersion {
    /// What `LATEST` stands for.
    pub const LATEST: Self = Self::V1_4_0;
}

impl fmt::Display for PlatformVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V1_4_0 => f.pad("1.4.0"),
        }
    }
}

impl FromStr for PlatformVersion {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        match text {
            "LATEST" => Ok(Self::LATEST),
            "1.4.0" => Ok(Self::V1_4_0),
            _ => Err(ModelError::malformed("a platform version", text, "expected 1.4.0 or LATEST")),
        }
    }
}

serde_as_text!(PlatformVersion);
