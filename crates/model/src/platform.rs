//! Platform versions: which ENI carries what the platform does for a task, and which versions new tasks may have.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;

use crate::TrafficClass;
use crate::error::{ModelError, serde_as_text};

/// A platform version. Later ones are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PlatformVersion {
    /// 1.3.0: registry logins and secrets leave by the platform ENI.
    V1_3_0,
    /// 1.4.0: every traffic class takes the task ENI.
    V1_4_0,
}

/// The ENI that carries a traffic class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Carrier {
    /// The task's own: in its VPC, under its security groups, in its flow log.
    TaskEni,
    /// The host's own: outside of the task's VPC and its flow log.
    PlatformEni,
}

impl PlatformVersion {
    /// All versions, the oldest first.
    pub const ALL: [Self; 2] = [Self::V1_3_0, Self::V1_4_0];

    /// The version's number.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1_3_0 => "1.3.0",
            Self::V1_4_0 => "1.4.0",
        }
    }

    /// Which ENI carries a traffic class; none if the version does not have what the class is of (AWS Fargate Developer
    /// Guide, "Fargate task networking" and "Fargate platform versions").
    pub const fn carrier(self, class: TrafficClass) -> Option<Carrier> {
        const TASK: Option<Carrier> = Some(Carrier::TaskEni);
        const PLATFORM: Option<Carrier> = Some(Carrier::PlatformEni);
        let (in_1_3_0, in_1_4_0) = match class {
            TrafficClass::Application | TrafficClass::ImagePull | TrafficClass::Logs => (TASK, TASK),
            TrafficClass::EcrLogin | TrafficClass::Secrets => (PLATFORM, TASK),
            TrafficClass::Efs | TrafficClass::Exec => (None, TASK),
        };
        match self {
            Self::V1_3_0 => in_1_3_0,
            Self::V1_4_0 => in_1_4_0,
        }
    }
}

impl fmt::Display for PlatformVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for PlatformVersion {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        find(text).ok_or_else(|| ModelError::malformed(KIND, text, "expected 1.3.0 or 1.4.0"))
    }
}

const KIND: &str = "a platform version";

fn find(text: &str) -> Option<PlatformVersion> {
    PlatformVersion::ALL.into_iter().find(|version| version.as_str() == text)
}

serde_as_text!(PlatformVersion);

/// The platform version that a task is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WantedPlatformVersion {
    /// `LATEST`: the newest that is active when the task is created. The task keeps it.
    #[default]
    Latest,
    /// This one.
    Exactly(PlatformVersion),
}

impl WantedPlatformVersion {
    /// Whether a task of this version is what is wanted. `LATEST` once stood for any.
    pub fn agrees_with(self, version: PlatformVersion) -> bool {
        match self {
            Self::Latest => true,
            Self::Exactly(wanted) => wanted == version,
        }
    }
}

impl FromStr for WantedPlatformVersion {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        if text == "LATEST" {
            return Ok(Self::Latest);
        }
        let version =
            find(text).ok_or_else(|| ModelError::malformed(KIND, text, "expected 1.3.0, 1.4.0 or LATEST"))?;
        Ok(Self::Exactly(version))
    }
}

/// Whether new tasks may have a platform version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PlatformVersionState {
    /// They may.
    #[default]
    Active,
    /// They may, until this day.
    Deprecating(Date),
    /// They may not, since this day. Tasks that have it keep it.
    Retired(Date),
    /// As retired, because of a fault in it.
    Recalled(Date),
}

impl PlatformVersionState {
    /// The state's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Deprecating(_) => "deprecating",
            Self::Retired(_) => "retired",
            Self::Recalled(_) => "recalled",
        }
    }

    /// The day that goes with it.
    pub const fn date(self) -> Option<Date> {
        match self {
            Self::Active => None,
            Self::Deprecating(date) | Self::Retired(date) | Self::Recalled(date) => Some(date),
        }
    }
}

/// Why a task can't have the platform version that it is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PlatformVersionRefusal {
    /// It is retired.
    #[error("platform version {version} was retired on {date}; use another one, or LATEST")]
    Retired {
        /// The version.
        version: PlatformVersion,
        /// Since when.
        date: Date,
    },
    /// It is recalled.
    #[error("platform version {version} was recalled on {date}; use another one, or LATEST")]
    Recalled {
        /// The version.
        version: PlatformVersion,
        /// Since when.
        date: Date,
    },
    /// None is active.
    #[error(
        "no platform version is active, so LATEST stands for none; name a version that may still be used"
    )]
    NoneActive,
}

/// The states of all platform versions. Those not named are active.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PlatformVersions {
    states: BTreeMap<PlatformVersion, PlatformVersionState>,
}

impl PlatformVersions {
    /// What `LATEST` stands for: the newest version that is active.
    pub fn latest(&self) -> Option<PlatformVersion> {
        let is_active = |version: &PlatformVersion| self.state(*version) == PlatformVersionState::Active;
        PlatformVersion::ALL.into_iter().rev().find(is_active)
    }

    /// The state of a version.
    pub fn state(&self, version: PlatformVersion) -> PlatformVersionState {
        self.states.get(&version).copied().unwrap_or_default()
    }

    /// The version of a task to be created.
    ///
    /// # Errors
    /// No new task may have it.
    pub fn resolve(&self, wanted: WantedPlatformVersion) -> Result<PlatformVersion, PlatformVersionRefusal> {
        let version = match wanted {
            WantedPlatformVersion::Latest => {
                return self.latest().ok_or(PlatformVersionRefusal::NoneActive);
            }
            WantedPlatformVersion::Exactly(version) => version,
        };
        match self.state(version) {
            PlatformVersionState::Active | PlatformVersionState::Deprecating(_) => Ok(version),
            PlatformVersionState::Retired(date) => Err(PlatformVersionRefusal::Retired { version, date }),
            PlatformVersionState::Recalled(date) => Err(PlatformVersionRefusal::Recalled { version, date }),
        }
    }
}

impl FromIterator<(PlatformVersion, PlatformVersionState)> for PlatformVersions {
    fn from_iter<I: IntoIterator<Item = (PlatformVersion, PlatformVersionState)>>(states: I) -> Self {
        Self { states: states.into_iter().collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> Date {
        text.parse().unwrap()
    }

    #[test]
    fn two_classes_moved_in_1_4_0() {
        for class in TrafficClass::ALL {
            let carried = PlatformVersion::ALL.map(|version| version.carrier(class));
            let task = Some(Carrier::TaskEni);
            let expected = match class {
                TrafficClass::EcrLogin | TrafficClass::Secrets => [Some(Carrier::PlatformEni), task],
                TrafficClass::Efs | TrafficClass::Exec => [None, task],
                _ => [task, task],
            };
            assert_eq!(carried, expected, "{class}");
        }
    }

    #[test]
    fn versions_read_back() {
        for version in PlatformVersion::ALL {
            assert_eq!(version.to_string().parse(), Ok(version));
            assert_eq!(version.as_str().parse(), Ok(WantedPlatformVersion::Exactly(version)));
        }
        assert_eq!("LATEST".parse(), Ok(WantedPlatformVersion::Latest));
        assert_eq!(
            "latest".parse::<WantedPlatformVersion>().unwrap_err().to_string(),
            "`latest` is not a platform version: expected 1.3.0, 1.4.0 or LATEST"
        );
        assert_eq!(
            "LATEST".parse::<PlatformVersion>().unwrap_err().to_string(),
            "`LATEST` is not a platform version: expected 1.3.0 or 1.4.0"
        );
    }

    #[test]
    fn latest_is_the_newest_that_is_active() {
        let versions = PlatformVersions::default();
        assert_eq!(versions.resolve(WantedPlatformVersion::Latest), Ok(PlatformVersion::V1_4_0));
        for state in [
            PlatformVersionState::Deprecating(date("2026-03-01")),
            PlatformVersionState::Retired(date("2026-03-01")),
            PlatformVersionState::Recalled(date("2026-03-01")),
        ] {
            let versions = PlatformVersions::from_iter([(PlatformVersion::V1_4_0, state)]);
            assert_eq!(versions.latest(), Some(PlatformVersion::V1_3_0), "{state:?}");
        }
        let retired = PlatformVersionState::Retired(date("2026-03-01"));
        let none = PlatformVersions::from_iter(PlatformVersion::ALL.map(|version| (version, retired)));
        assert_eq!(none.resolve(WantedPlatformVersion::Latest), Err(PlatformVersionRefusal::NoneActive));
    }

    #[test]
    fn what_is_retired_is_refused_with_its_date() {
        let versions = PlatformVersions::from_iter([
            (PlatformVersion::V1_3_0, PlatformVersionState::Retired(date("2026-03-01"))),
            (PlatformVersion::V1_4_0, PlatformVersionState::Deprecating(date("2027-01-31"))),
        ]);
        let resolve = |version| versions.resolve(WantedPlatformVersion::Exactly(version));
        assert_eq!(
            resolve(PlatformVersion::V1_3_0).unwrap_err().to_string(),
            "platform version 1.3.0 was retired on 2026-03-01; use another one, or LATEST"
        );
        assert_eq!(resolve(PlatformVersion::V1_4_0), Ok(PlatformVersion::V1_4_0));
    }
}
