//! Ethernet addresses.

use std::fmt;
use std::str::FromStr;

use crate::error::{ModelError, serde_as_text};

/// A unicast Ethernet address (IEEE 802: the group bit is clear).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddress([u8; 6]);

impl MacAddress {
    /// The VPC router's address, the same on every host end, so that a task's gateway neighbours never change.
    pub const ROUTER: Self = Self([0x02, 0x65, 0x6e, 0x69, 0x64, 0x01]);

    /// A locally administered unicast address, drawn at random.
    pub fn random() -> Self {
        let mut octets = [0; 6];
        fastrand::fill(&mut octets);
        octets[0] = (octets[0] & 0b1111_1100) | 0b10;
        Self(octets)
    }

    /// The six octets in the order they stand on the wire.
    pub const fn octets(self) -> [u8; 6] {
        self.0
    }
}

impl TryFrom<[u8; 6]> for MacAddress {
    type Error = ModelError;

    fn try_from(octets: [u8; 6]) -> Result<Self, ModelError> {
        let mac = Self(octets);
        if octets[0] & 1 == 1 || octets == [0; 6] {
            return Err(ModelError::malformed(
                "a unicast MAC address",
                &mac.to_string(),
                "it is a group address or zero",
            ));
        }
        Ok(mac)
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, octet) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { ":" };
            write!(f, "{separator}{octet:02x}")?;
        }
        Ok(())
    }
}

impl FromStr for MacAddress {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        let malformed =
            || ModelError::malformed("a MAC address", text, "expected six hex pairs, `02:00:00:00:00:01`");
        let mut octets = [0; 6];
        let mut parts = text.split(':');
        for octet in &mut octets {
            let part = parts.next().filter(|part| part.len() == 2).ok_or_else(malformed)?;
            *octet = u8::from_str_radix(part, 16).map_err(|_| malformed())?;
        }
        if parts.next().is_some() {
            return Err(malformed());
        }
        Self::try_from(octets)
    }
}

serde_as_text!(MacAddress);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_addresses_are_unicast_and_local() {
        for _ in 0..1000 {
            let mac = MacAddress::random();
            assert_eq!(mac.octets()[0] & 0b11, 0b10);
            assert_eq!(mac.to_string().parse::<MacAddress>().unwrap(), mac);
        }
    }

    #[test]
    fn refuses_group_addresses_and_other_forms() {
        for text in [
            "01:00:5e:00:00:01",
            "00:00:00:00:00:00",
            "02:00:00:00:00",
            "02:00:00:00:00:01:02",
            "2:0:0:0:0:1",
            "02-00-00-00-00-01",
        ] {
            assert!(text.parse::<MacAddress>().is_err(), "{text}");
        }
    }
}
