//! IP protocols.

use std::fmt;
use std::str::FromStr;

use crate::error::{ModelError, serde_as_text};

/// An IP protocol, or all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Every protocol.
    All,
    /// The protocol with this number (IANA, "Assigned Internet Protocol Numbers").
    Number(u8),
}

impl Protocol {
    /// ICMP of IPv4.
    pub const ICMP: Self = Self::Number(1);
    /// TCP.
    pub const TCP: Self = Self::Number(6);
    /// UDP.
    pub const UDP: Self = Self::Number(17);
    /// ICMP of IPv6.
    pub const ICMPV6: Self = Self::Number(58);

    /// The protocols that have a name here, by number; the names are those of `/etc/protocols`, in small letters.
    const NAMES: [(&'static str, u8); 13] = [
        ("icmp", 1),
        ("igmp", 2),
        ("tcp", 6),
        ("udp", 17),
        ("dccp", 33),
        ("gre", 47),
        ("esp", 50),
        ("ah", 51),
        ("icmpv6", 58),
        ("ospf", 89),
        ("pim", 103),
        ("vrrp", 112),
        ("sctp", 132),
    ];

    /// Whether a rule for it may name ports, which only TCP and UDP rules do.
    pub fn has_ports(self) -> bool {
        matches!(self, Self::TCP | Self::UDP)
    }

    /// Whether a rule for it may name ICMP types and codes.
    pub fn is_icmp(self) -> bool {
        matches!(self, Self::ICMP | Self::ICMPV6)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.pad("all"),
            Self::Number(number) => match Self::NAMES.iter().find(|(_, known)| known == number) {
                Some((name, _)) => f.pad(name),
                None => number.fmt(f),
            },
        }
    }
}

impl FromStr for Protocol {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        if matches!(text, "all" | "-1") {
            return Ok(Self::All);
        }
        if let Some((_, number)) = Self::NAMES.iter().find(|(name, _)| *name == text) {
            return Ok(Self::Number(*number));
        }
        text.parse().map(Self::Number).map_err(|_| {
            let names = Self::NAMES.map(|(name, _)| name).join(", ");
            let reason = format!("expected all, {names} or a number from 0 to 255");
            ModelError::malformed("a protocol", text, reason)
        })
    }
}

serde_as_text!(Protocol);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_have_names_and_numbers() {
        for (text, protocol) in [
            ("all", Protocol::All),
            ("tcp", Protocol::TCP),
            ("icmpv6", Protocol::ICMPV6),
            ("esp", Protocol::Number(50)),
            ("sctp", Protocol::Number(132)),
            ("0", Protocol::Number(0)),
            ("255", Protocol::Number(255)),
        ] {
            assert_eq!(text.parse(), Ok(protocol));
            assert_eq!(protocol.to_string(), text);
        }
        assert_eq!("-1".parse(), Ok(Protocol::All));
        assert_eq!("6".parse(), Ok(Protocol::TCP));
        for text in ["256", "TCP", "", "-2", "tcp "] {
            assert!(text.parse::<Protocol>().is_err(), "{text}");
        }
    }

    #[test]
    fn every_number_reads_back() {
        for number in 0..=255 {
            let protocol = Protocol::Number(number);
            assert_eq!(protocol.to_string().parse(), Ok(protocol));
        }
    }
}
