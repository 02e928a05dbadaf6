//! Address blocks: a network address and a prefix length, host bits zero.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnetwork::{Ipv4Network, Ipv6Network};

use crate::error::{ModelError, serde_as_text};

macro_rules! cidr {
    ($(#[$doc:meta])* $name:ident, $network:ty, $address:ty, $bits:ty, $kind:literal, $example:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name($network);

        impl $name {
            /// The block of every address.
            #[allow(clippy::panic, reason = "evaluated when compiled: no address is shorter than 0 bits")]
            pub const ALL: Self = match <$network>::new_checked(<$address>::UNSPECIFIED, 0) {
                Some(block) => Self(block),
                None => panic!(),
            };

            /// The block of `prefix` bits that begins at `network`.
            ///
            /// # Errors
            /// The prefix is longer than the address, or `network` has bits set after it.
            pub fn new(network: $address, prefix: u8) -> Result<Self, ModelError> {
                let text = format!("{network}/{prefix}");
                let block = <$network>::new(network, prefix)
                    .map_err(|error| ModelError::malformed($kind, &text, error.to_string()))?;
                Self::aligned(block, &text)
            }

            fn aligned(block: $network, text: &str) -> Result<Self, ModelError> {
                if block.network() == block.ip() {
                    return Ok(Self(block));
                }
                let network = block.network();
                let reason = format!("bits are set after the prefix; {network}/{} is the block", block.prefix());
                Err(ModelError::malformed($kind, text, reason))
            }

            /// The first address.
            pub fn network(self) -> $address {
                self.0.network()
            }

            /// The last address.
            pub fn last(self) -> $address {
                self.0.broadcast()
            }

            /// The number of leading bits that are the same in every address.
            pub fn prefix(self) -> u8 {
                self.0.prefix()
            }

            /// Whether the address lies in this block.
            pub fn contains(self, address: $address) -> bool {
                self.0.contains(address)
            }

            /// Whether the whole of `other` lies in this block.
            pub fn covers(self, other: Self) -> bool {
                self.prefix() <= other.prefix() && self.contains(other.network())
            }

            /// Whether the two blocks share an address.
            pub fn overlaps(self, other: Self) -> bool {
                self.covers(other) || other.covers(self)
            }

            /// The address `offset` places after the first, if it is in the block.
            pub fn nth(self, offset: $bits) -> Option<$address> {
                let first = <$bits>::from(self.network());
                let address = <$address>::from(first.checked_add(offset)?);
                self.contains(address).then_some(address)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&format!("{}/{}", self.0.network(), self.0.prefix()))
            }
        }

        impl FromStr for $name {
            type Err = ModelError;

            fn from_str(text: &str) -> Result<Self, ModelError> {
                let malformed = || ModelError::malformed($kind, text, concat!("expected the form `", $example, "`"));
                if !text.contains('/') {
                    return Err(malformed());
                }
                Self::aligned(text.parse().map_err(|_| malformed())?, text)
            }
        }

        serde_as_text!($name);
    };
}

cidr!(
    /// A block of IPv4 addresses.
    Ipv4Cidr, Ipv4Network, Ipv4Addr, u32, "an IPv4 CIDR", "10.0.0.0/16"
);
cidr!(
    /// A block of IPv6 addresses.
    Ipv6Cidr, Ipv6Network, Ipv6Addr, u128, "an IPv6 CIDR", "fd00::/56"
);

/// A block of addresses of either family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cidr {
    /// IPv4 addresses.
    Ipv4(Ipv4Cidr),
    /// IPv6 addresses.
    Ipv6(Ipv6Cidr),
}

impl Cidr {
    /// Whether the address is of the block's family and lies in it.
    pub fn contains(self, address: IpAddr) -> bool {
        match (self, address) {
            (Self::Ipv4(block), IpAddr::V4(address)) => block.contains(address),
            (Self::Ipv6(block), IpAddr::V6(address)) => block.contains(address),
            _ => false,
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ipv4(block) => block.fmt(f),
            Self::Ipv6(block) => block.fmt(f),
        }
    }
}

impl FromStr for Cidr {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        if text.contains(':') { text.parse().map(Self::Ipv6) } else { text.parse().map(Self::Ipv4) }
    }
}

serde_as_text!(Cidr);

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(text: &str) -> Ipv4Cidr {
        text.parse().unwrap()
    }

    #[test]
    fn refuses_host_bits_and_missing_prefixes() {
        assert_eq!(
            "10.0.0.1/16".parse::<Ipv4Cidr>().unwrap_err().to_string(),
            "`10.0.0.1/16` is not an IPv4 CIDR: bits are set after the prefix; 10.0.0.0/16 is the block"
        );
        for text in ["10.0.0.0", "10.0.0.0/33", "10.0.0/8", "fd00::/8", ""] {
            assert!(text.parse::<Ipv4Cidr>().is_err(), "{text}");
        }
    }

    #[test]
    fn overlap_is_containment_one_way_or_the_other() {
        assert!(v4("10.0.0.0/8").overlaps(v4("10.1.0.0/16")));
        assert!(v4("10.1.0.0/16").overlaps(v4("10.0.0.0/8")));
        assert!(!v4("10.0.0.0/16").overlaps(v4("10.1.0.0/16")));
    }

    #[test]
    fn a_block_of_either_family_tells_which_it_is() {
        let [ipv4, ipv6]: [Cidr; 2] = ["10.0.0.0/8", "fd00::/8"].map(|text| text.parse().unwrap());
        assert_eq!(ipv4, Cidr::Ipv4("10.0.0.0/8".parse().unwrap()));
        assert_eq!(ipv6.to_string(), "fd00::/8");
        let addresses: [IpAddr; 3] = ["10.1.2.3", "fd12::1", "11.0.0.0"].map(|text| text.parse().unwrap());
        assert_eq!(addresses.map(|address| ipv4.contains(address)), [true, false, false]);
        assert_eq!(addresses.map(|address| ipv6.contains(address)), [false, true, false]);
        assert!("fd00::1/8".parse::<Cidr>().is_err() && "10.0.0.0".parse::<Cidr>().is_err());
    }

    #[test]
    fn nth_stays_inside() {
        assert_eq!(v4("10.0.0.0/24").nth(1), Some(Ipv4Addr::new(10, 0, 0, 1)));
        assert_eq!(v4("10.0.0.0/24").nth(255), Some(Ipv4Addr::new(10, 0, 0, 255)));
        assert_eq!(v4("10.0.0.0/24").nth(256), None);
        assert_eq!(v4("255.255.255.0/24").nth(u32::MAX), None);
    }
}
