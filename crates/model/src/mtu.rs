//! The maximum transmission unit of an ENI.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ModelError;

/// An MTU in bytes of layer 3, from 1,280 (the least that IPv6 works on, RFC 8200 section 5) to 9,001 (the
/// VPC's jumbo frame).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Mtu(u32);

impl Mtu {
    /// The smallest.
    pub const MIN: Self = Self(1280);
    /// The largest, and what an ENI has unless told otherwise.
    pub const JUMBO: Self = Self(9001);

    /// The number of bytes.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for Mtu {
    type Error = ModelError;

    fn try_from(bytes: u32) -> Result<Self, ModelError> {
        let (min, max) = (Self::MIN.0, Self::JUMBO.0);
        if !(min..=max).contains(&bytes) {
            return Err(ModelError::OutOfRange {
                kind: "MTU",
                value: bytes.into(),
                min: min.into(),
                max: max.into(),
            });
        }
        Ok(Self(bytes))
    }
}

impl From<Mtu> for u32 {
    fn from(mtu: Mtu) -> Self {
        mtu.0
    }
}

impl fmt::Display for Mtu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_1280_to_9001() {
        assert!(Mtu::try_from(1279).is_err());
        assert_eq!(Mtu::try_from(1280).unwrap(), Mtu::MIN);
        assert_eq!(Mtu::try_from(9001).unwrap(), Mtu::JUMBO);
        assert_eq!(Mtu::try_from(9002).unwrap_err().to_string(), "MTU 9002 is out of range: 1280 to 9001");
    }
}
