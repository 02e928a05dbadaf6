//! Versions of the CNI specification.

use std::fmt;

/// A version of the specification that this plugin speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum CniVersion {
    /// 0.3.0, which differs from 0.3.1 in its text alone.
    V0_3_0,
    /// 0.3.1: results with interfaces.
    V0_3_1,
    /// 0.4.0: CHECK.
    V0_4_0,
    /// 1.0.0: addresses without their family.
    V1_0_0,
    /// 1.1.0: GC and STATUS, the MTU in results.
    V1_1_0,
}

/// All of them, in their order.
pub(crate) const SUPPORTED: [CniVersion; 5] =
    [CniVersion::V0_3_0, CniVersion::V0_3_1, CniVersion::V0_4_0, CniVersion::V1_0_0, CniVersion::LATEST];

impl CniVersion {
    /// The newest.
    pub(crate) const LATEST: Self = Self::V1_1_0;

    /// As configurations have it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::V0_3_0 => "0.3.0",
            Self::V0_3_1 => "0.3.1",
            Self::V0_4_0 => "0.4.0",
            Self::V1_0_0 => "1.0.0",
            Self::V1_1_0 => "1.1.0",
        }
    }

    /// The version of that text, if it is supported.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        SUPPORTED.into_iter().find(|version| version.as_str() == text)
    }
}

impl fmt::Display for CniVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
