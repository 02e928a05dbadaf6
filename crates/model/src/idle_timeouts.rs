//! How long an ENI's tracked flows may be idle.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ModelError;

macro_rules! timeout {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $min:literal, $max:literal, $default:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "u32", into = "u32")]
        pub struct $name(u32);

        impl $name {
            /// The shortest.
            pub const MIN: Self = Self($min);
            /// The longest.
            pub const MAX: Self = Self($max);
            /// What an ENI has unless told otherwise.
            pub const DEFAULT: Self = Self($default);

            /// The number of seconds.
            pub const fn seconds(self) -> u32 {
                self.0
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::DEFAULT
            }
        }

        impl TryFrom<u32> for $name {
            type Error = ModelError;

            fn try_from(seconds: u32) -> Result<Self, ModelError> {
                let (min, max) = (Self::MIN.0, Self::MAX.0);
                if !(min..=max).contains(&seconds) {
                    return Err(ModelError::OutOfRange {
                        kind: $kind,
                        value: seconds.into(),
                        min: min.into(),
                        max: max.into(),
                    });
                }
                Ok(Self(seconds))
            }
        }

        impl From<$name> for u32 {
            fn from(timeout: $name) -> Self {
                timeout.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

timeout!(
    /// The idle time of an established TCP flow in seconds, 60 to 432,000 (5 days).
    TcpEstablishedTimeout, "TCP established timeout (seconds)", 60, 432_000, 432_000
);
timeout!(
    /// The idle time in seconds, 30 to 60, of a UDP flow that is one request, or a request and its answer.
    UdpTimeout, "UDP timeout (seconds)", 30, 60, 30
);
timeout!(
    /// The idle time in seconds, 60 to 180, of a UDP flow that has been more than a request and its answer.
    UdpStreamTimeout, "UDP stream timeout (seconds)", 60, 180, 180
);

/// How long the tracked flows of an ENI may be idle before they are forgotten; the ranges and the defaults are those
/// of a VPC's ENIs (Amazon EC2 User Guide, "Idle connection tracking timeout").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct IdleTimeouts {
    /// Of an established TCP flow.
    pub tcp_established: TcpEstablishedTimeout,
    /// Of a UDP flow that is one request, or a request and its answer.
    pub udp: UdpTimeout,
    /// Of a UDP flow that has been more.
    pub udp_stream: UdpStreamTimeout,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_a_vpcs() {
        let timeouts = IdleTimeouts::default();
        let seconds =
            [timeouts.tcp_established.seconds(), timeouts.udp.seconds(), timeouts.udp_stream.seconds()];
        assert_eq!(seconds, [432_000, 30, 180]);
    }

    #[test]
    fn ranges_include_their_ends() {
        for (seconds, allowed) in [(59, false), (60, true), (432_000, true), (432_001, false)] {
            assert_eq!(TcpEstablishedTimeout::try_from(seconds).is_ok(), allowed, "{seconds}");
        }
        for (seconds, allowed) in [(29, false), (30, true), (60, true), (61, false)] {
            assert_eq!(UdpTimeout::try_from(seconds).is_ok(), allowed, "{seconds}");
        }
        for (seconds, allowed) in [(59, false), (60, true), (180, true), (181, false)] {
            assert_eq!(UdpStreamTimeout::try_from(seconds).is_ok(), allowed, "{seconds}");
        }
        assert_eq!(
            UdpTimeout::try_from(61).unwrap_err().to_string(),
            "UDP timeout (seconds) 61 is out of range: 30 to 60"
        );
    }

    #[test]
    fn what_is_stored_is_checked_again() {
        let text = serde_json::to_string(&IdleTimeouts::default()).unwrap();
        assert_eq!(text, r#"{"tcp_established":432000,"udp":30,"udp_stream":180}"#);
        assert!(serde_json::from_str::<IdleTimeouts>(&text.replace("180", "181")).is_err());
    }
}
