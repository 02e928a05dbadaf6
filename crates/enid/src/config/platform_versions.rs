//! `[platform_versions."1.3.0"]`: the states of platform versions.

use std::collections::BTreeMap;

use enid_model::{PlatformVersion, PlatformVersionState, PlatformVersions};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// Reads the table of all versions that are named.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PlatformVersions, D::Error> {
    let states = BTreeMap::<PlatformVersion, State>::deserialize(deserializer)?;
    Ok(states.into_iter().map(|(version, State(state))| (version, state)).collect())
}

struct State(PlatformVersionState);

impl<'de> Deserialize<'de> for State {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Written { state, date } = Written::deserialize(deserializer)?;
        let with_date = |make: fn(_) -> PlatformVersionState| {
            let text = date.as_deref().ok_or_else(|| D::Error::missing_field("date"))?;
            let date = text
                .parse()
                .map_err(|_| D::Error::custom(format!("date: `{text}` is not a day, as 2026-03-01 is")))?;
            Ok(make(date))
        };
        let state = match state {
            Word::Active if date.is_some() => {
                return Err(D::Error::custom("date: an active version has none"));
            }
            Word::Active => PlatformVersionState::Active,
            Word::Deprecating => with_date(PlatformVersionState::Deprecating)?,
            Word::Retired => with_date(PlatformVersionState::Retired)?,
            Word::Recalled => with_date(PlatformVersionState::Recalled)?,
        };
        Ok(Self(state))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    state: Word,
    date: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Active,
    Deprecating,
    Retired,
    Recalled,
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::Config;

    fn read(text: &str) -> Result<PlatformVersions, String> {
        let config = Config::parse(text, Path::new("enid.toml")).map_err(|error| error.to_string())?;
        Ok(config.platform_versions)
    }

    #[test]
    fn states_are_read_and_what_is_left_out_is_active() {
        let text = "[platform_versions.\"1.3.0\"]\nstate = \"retired\"\ndate = \"2026-03-01\"\n";
        let versions = read(text).unwrap();
        let retired = PlatformVersionState::Retired("2026-03-01".parse().unwrap());
        assert_eq!(versions.state(PlatformVersion::V1_3_0), retired);
        assert_eq!(versions.state(PlatformVersion::V1_4_0), PlatformVersionState::Active);
        assert_eq!(read("").unwrap(), PlatformVersions::default());
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, said) in [
            ("[platform_versions.\"1.5.0\"]\nstate = \"active\"", "`1.5.0` is not a platform version"),
            ("[platform_versions.\"1.3.0\"]\nstate = \"old\"", "unknown variant `old`"),
            ("[platform_versions.\"1.3.0\"]\nstate = \"retired\"", "missing field `date`"),
            ("[platform_versions.\"1.3.0\"]\nstate = \"retired\"\ndate = \"soon\"", "`soon` is not a day"),
            (
                "[platform_versions.\"1.3.0\"]\nstate = \"active\"\ndate = \"2026-03-01\"",
                "an active version has none",
            ),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.starts_with("enid.toml:") && error.contains(said), "{error}");
        }
    }
}
