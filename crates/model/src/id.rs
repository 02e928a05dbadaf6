//! Identifiers: a prefix and 17 hexadecimal digits, as the VPC's own interfaces write them.

use std::fmt;
use std::str::FromStr;

use crate::error::{ModelError, serde_as_text};

const DIGITS: usize = 17;
const MASK: u128 = (1 << (DIGITS * 4)) - 1;

fn parse(prefix: &'static str, kind: &'static str, text: &str) -> Result<u128, ModelError> {
    let malformed =
        || ModelError::malformed(kind, text, format!("expected `{prefix}` and {DIGITS} hex digits"));
    let digits = text.strip_prefix(prefix).ok_or_else(malformed)?;
    let lower_hex = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if digits.len() != DIGITS || !lower_hex {
        return Err(malformed());
    }
    u128::from_str_radix(digits, 16).map_err(|_| malformed())
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u128);

        impl $name {
            /// A new identifier, drawn at random from 2^68.
            pub fn random() -> Self {
                Self(fastrand::u128(..) & MASK)
            }

            /// The 68 bits that the digits stand for.
            pub const fn bits(self) -> u128 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{:017x}"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = ModelError;

            fn from_str(text: &str) -> Result<Self, ModelError> {
                parse($prefix, $kind, text).map(Self)
            }
        }

        serde_as_text!($name);
    };
}

id!(
    /// An elastic network interface: `eni-` and 17 hex digits.
    EniId, "eni-", "an ENI id"
);
id!(
    /// A virtual private cloud: `vpc-` and 17 hex digits.
    VpcId, "vpc-", "a VPC id"
);
id!(
    /// A subnet: `subnet-` and 17 hex digits.
    SubnetId, "subnet-", "a subnet id"
);
id!(
    /// A security group: `sg-` and 17 hex digits.
    SecurityGroupId, "sg-", "a security group id"
);
id!(
    /// A prefix list: `pl-` and 17 hex digits.
    PrefixListId, "pl-", "a prefix list id"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_it_writes() {
        for _ in 0..1000 {
            let id = EniId::random();
            assert_eq!(id.to_string().len(), 4 + DIGITS);
            assert_eq!(id.to_string().parse::<EniId>().unwrap(), id);
        }
    }

    #[test]
    fn has_the_bits_of_its_digits() {
        let id: PrefixListId = "pl-fffffffffffffff0a".parse().unwrap();
        assert_eq!(id.bits(), 0xf_ffff_ffff_ffff_ff0a);
    }

    #[test]
    fn refuses_other_prefixes_lengths_and_digits() {
        for text in [
            "",
            "eni-",
            "vpc-0123456789abcdef0",
            "eni-0123456789abcdef",
            "eni-0123456789ABCDEF0",
            "eni-+123456789abcdef0",
        ] {
            assert!(text.parse::<EniId>().is_err(), "{text}");
        }
    }
}
