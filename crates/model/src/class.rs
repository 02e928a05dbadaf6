//! Traffic classes: on whose behalf a flow runs, not where to.

use std::fmt;
use std::str::FromStr;

use crate::error::{ModelError, serde_as_text};

/// On whose behalf a flow of the task runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(u8)]
pub enum TrafficClass {
    /// The task's own traffic: whatever no platform command was tagged for.
    #[default]
    Application = 0,
    /// Image layers and manifests that the platform pulls for the task.
    ImagePull = 1,
    /// Registry logins.
    EcrLogin = 2,
    /// Secrets and parameters fetched for the task.
    Secrets = 3,
    /// Logs that a log driver ships.
    Logs = 4,
    /// The task's file systems.
    Efs = 5,
    /// Interactive sessions into the task.
    Exec = 6,
}

impl TrafficClass {
    /// All classes, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::Application,
        Self::ImagePull,
        Self::EcrLogin,
        Self::Secrets,
        Self::Logs,
        Self::Efs,
        Self::Exec,
    ];

    /// The class's name as commands and flow records write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Application => "application",
            Self::ImagePull => "image-pull",
            Self::EcrLogin => "ecr-login",
            Self::Secrets => "secrets",
            Self::Logs => "logs",
            Self::Efs => "efs",
            Self::Exec => "exec",
        }
    }

    /// The class's number in the eBPF maps.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The class with this number in the eBPF maps, if there is one.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

impl fmt::Display for TrafficClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for TrafficClass {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        Self::ALL.into_iter().find(|class| class.as_str() == text).ok_or_else(|| {
            let known = Self::ALL.map(Self::as_str).join(", ");
            ModelError::malformed("a traffic class", text, format!("expected one of {known}"))
        })
    }
}

serde_as_text!(TrafficClass);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_read_back() {
        for (number, class) in (0u8..).zip(TrafficClass::ALL) {
            assert_eq!(class.number(), number);
            assert_eq!(TrafficClass::from_number(number), Some(class));
            assert_eq!(class.as_str().parse(), Ok(class));
        }
        assert_eq!(TrafficClass::from_number(7), None);
        assert!("Logs".parse::<TrafficClass>().is_err());
    }
}
