//! Flow logs: which records are wanted, as what, and where.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use enid_flowlog::{Action, FlowLogId, Format};
use enid_model::{EniId, ModelError, Name, SubnetId, VpcId};
use serde::{Deserialize, Serialize};

use crate::destination::Destination;

/// A flow log: records of the ENIs of its target are delivered to its destination for as long as it is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FlowLog {
    /// The identifier.
    pub id: FlowLogId,
    /// The name, unique on the host.
    pub name: Name,
    /// Whose records.
    pub target: Target,
    /// Which of their records.
    pub traffic: TrafficFilter,
    /// The time over which a flow's packets make one record.
    pub interval: AggregationInterval,
    /// The fields of a record.
    pub format: Format,
    /// Where to.
    pub destination: Destination,
    /// What files are like; of destinations that take files only.
    pub files: FileOptions,
    /// The keys of the ENI's tags whose values are `interface-tag` and `interface-tag-2`.
    #[serde(default)]
    pub interface_tags: [Option<String>; 2],
}

/// Whose records a flow log has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// Those of all ENIs in a VPC.
    Vpc(VpcId),
    /// Those of all ENIs in a subnet.
    Subnet(SubnetId),
    /// Those of one ENI.
    Eni(EniId),
}

impl Target {
    /// Whether an ENI's records are among them.
    pub fn contains(self, vpc: VpcId, subnet: SubnetId, eni: EniId) -> bool {
        match self {
            Self::Vpc(id) => id == vpc,
            Self::Subnet(id) => id == subnet,
            Self::Eni(id) => id == eni,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vpc(id) => id.fmt(f),
            Self::Subnet(id) => id.fmt(f),
            Self::Eni(id) => id.fmt(f),
        }
    }
}

/// Defines an enum whose values users write as words.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident $kind:literal { $($(#[$variant_doc:meta])* $variant:ident $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            /// The word.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = ModelError;

            fn from_str(text: &str) -> Result<Self, ModelError> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(ModelError::Malformed {
                        kind: $kind,
                        value: text.to_owned(),
                        reason: format!("expected one of {}", [$($word),+].join(", ")),
                    }),
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = ModelError;

            fn try_from(text: String) -> Result<Self, ModelError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.as_str().to_owned()
            }
        }
    };
}

words!(
    /// Which records a flow log has.
    TrafficFilter "a kind of traffic" {
        /// Of all traffic.
        #[default]
        All "ALL",
        /// Of what was let through.
        Accept "ACCEPT",
        /// Of what was refused.
        Reject "REJECT",
    }
);
words!(
    /// What a file of records is.
    FileFormat "a file format" {
        /// Lines of text, compressed with gzip.
        #[default]
        Text "text",
        /// Apache Parquet.
        Parquet "parquet",
    }
);

impl TrafficFilter {
    /// Whether records of traffic with this outcome are wanted. Those without traffic always are.
    pub fn wants(self, action: Action) -> bool {
        match self {
            Self::All => true,
            Self::Accept => action == Action::Accept,
            Self::Reject => action == Action::Reject,
        }
    }
}

/// What the files of a flow log are like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct FileOptions {
    /// What a file is.
    pub format: FileFormat,
    /// Folders as Hive names partitions: `year=2026/month=11/day=21/` instead of `2026/11/21/`.
    pub hive_partitions: bool,
    /// A folder for each hour, not only for each day.
    pub hourly_partitions: bool,
}

/// The time over which a flow's packets make one record: 60 or 600 seconds, as VPCs have it, or 1 to 59.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct AggregationInterval(u32);

impl AggregationInterval {
    /// The shorter of a VPC's two.
    pub const MINUTE: Self = Self(60);

    /// The interval in seconds.
    pub const fn seconds(self) -> u32 {
        self.0
    }

    /// As a length of time.
    pub const fn get(self) -> Duration {
        Duration::from_secs(self.0 as u64)
    }
}

impl Default for AggregationInterval {
    /// A VPC's: 600 seconds.
    fn default() -> Self {
        Self(600)
    }
}

impl TryFrom<u32> for AggregationInterval {
    type Error = ModelError;

    fn try_from(seconds: u32) -> Result<Self, ModelError> {
        if matches!(seconds, 1..=60 | 600) {
            return Ok(Self(seconds));
        }
        Err(ModelError::Malformed {
            kind: "an aggregation interval",
            value: seconds.to_string(),
            reason: "expected 60 or 600 seconds, or 1 to 59".to_owned(),
        })
    }
}

impl From<AggregationInterval> for u32 {
    fn from(interval: AggregationInterval) -> Self {
        interval.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_a_vpcs_or_shorter() {
        for seconds in [1, 59, 60, 600] {
            assert_eq!(AggregationInterval::try_from(seconds).unwrap().seconds(), seconds);
        }
        for seconds in [0, 61, 599, 601] {
            assert_eq!(
                AggregationInterval::try_from(seconds).unwrap_err().to_string(),
                format!("`{seconds}` is not an aggregation interval: expected 60 or 600 seconds, or 1 to 59")
            );
        }
    }

    #[test]
    fn a_filter_is_of_outcomes() {
        for action in Action::ALL {
            assert!(TrafficFilter::All.wants(*action));
            assert_ne!(TrafficFilter::Accept.wants(*action), TrafficFilter::Reject.wants(*action));
        }
        assert_eq!("REJECT".parse(), Ok(TrafficFilter::Reject));
        assert_eq!(
            "reject".parse::<TrafficFilter>().unwrap_err().to_string(),
            "`reject` is not a kind of traffic: expected one of ALL, ACCEPT, REJECT"
        );
    }
}
