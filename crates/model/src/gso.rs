//! How much a sender may hand on in one piece, for the device at the end of the way to cut into segments.

use std::fmt;

use serde::Deserialize;

use crate::ModelError;

/// The most bytes of one segmented buffer, a device's `gso_max_size`: from 65,536, which any kernel and device has, to
/// 524,280, the most that any has (`GSO_MAX_SIZE` of linux/netdevice.h). What is beyond 65,536 is called BIG TCP: only TCP
/// makes use of it, over IPv6 since Linux 5.19, over IPv4 since 6.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "u32")]
pub struct GsoMaxSize(u32);

impl GsoMaxSize {
    /// What a device has unless told otherwise.
    pub const LEGACY: Self = Self(65_536);
    /// The largest.
    pub const MAX: Self = Self(524_280);

    /// The number of bytes.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The nearest size that there is to a number of bytes.
    pub fn nearest(bytes: u32) -> Self {
        Self(bytes.clamp(Self::LEGACY.0, Self::MAX.0))
    }
}

impl TryFrom<u32> for GsoMaxSize {
    type Error = ModelError;

    fn try_from(bytes: u32) -> Result<Self, ModelError> {
        let (min, max) = (Self::LEGACY.0, Self::MAX.0);
        if !(min..=max).contains(&bytes) {
            return Err(ModelError::OutOfRange {
                kind: "gso_max_size",
                value: bytes.into(),
                min: min.into(),
                max: max.into(),
            });
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for GsoMaxSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The most bytes of a segmented buffer of each family, which a device has apart since Linux 6.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GsoMaxSizes {
    /// Of IPv4: the device's `gso_ipv4_max_size`.
    pub ipv4: GsoMaxSize,
    /// Of IPv6: its `gso_max_size`.
    pub ipv6: GsoMaxSize,
}

impl GsoMaxSizes {
    /// What a device has unless told otherwise.
    pub const LEGACY: Self = Self { ipv4: GsoMaxSize::LEGACY, ipv6: GsoMaxSize::LEGACY };

    /// The lesser of each family.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        Self { ipv4: self.ipv4.min(other.ipv4), ipv6: self.ipv6.min(other.ipv6) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_a_veth_takes() {
        assert_eq!(GsoMaxSize::try_from(65_536).unwrap(), GsoMaxSize::LEGACY);
        assert_eq!(GsoMaxSize::try_from(524_280).unwrap(), GsoMaxSize::MAX);
        assert!(GsoMaxSize::try_from(65_535).is_err());
        let error = GsoMaxSize::try_from(524_281).unwrap_err().to_string();
        assert_eq!(error, "gso_max_size 524281 is out of range: 65536 to 524280");
    }

    #[test]
    fn the_lesser_is_of_each_family() {
        let one = GsoMaxSizes { ipv4: GsoMaxSize::MAX, ipv6: GsoMaxSize::LEGACY };
        let other = GsoMaxSizes { ipv4: GsoMaxSize::nearest(131_072), ipv6: GsoMaxSize::MAX };
        let least = one.min(other);
        assert_eq!((least.ipv4.get(), least.ipv6.get()), (131_072, 65_536));
        assert_eq!(
            (GsoMaxSize::nearest(0), GsoMaxSize::nearest(u32::MAX)),
            (GsoMaxSize::LEGACY, GsoMaxSize::MAX)
        );
    }
}
