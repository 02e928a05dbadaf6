//! Security groups: allow rules, by direction.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{ModelError, serde_as_text};
use crate::{Ipv4Cidr, Ipv6Cidr, Name, SecurityGroupId};

/// The most rules that a group may have in one direction, as VPCs have it.
pub const MAX_RULES: usize = 60;

/// The name of the group that every VPC has, and that an ENI joins unless told otherwise.
pub const DEFAULT_SECURITY_GROUP: &str = "default";

/// A set of allow rules. What no rule allows is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityGroup {
    /// The identifier.
    pub id: SecurityGroupId,
    /// The name, unique in the VPC.
    pub name: Name,
    /// What may reach members.
    pub ingress: Vec<Rule>,
    /// What members may reach.
    pub egress: Vec<Rule>,
}

/// One allow rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// The protocols it is for.
    pub protocol: Protocol,
    /// The destination ports, for TCP and UDP; all of them where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<PortRange>,
    /// The other side.
    pub peer: Peer,
}

/// The other side of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Peer {
    /// Addresses of an IPv4 block.
    Ipv4(Ipv4Cidr),
    /// Addresses of an IPv6 block.
    Ipv6(Ipv6Cidr),
    /// The addresses of another group's members, or of the same group's.
    SecurityGroup(SecurityGroupId),
}

impl Peer {
    /// Every IPv4 and every IPv6 address, as the two peers that it takes to say so.
    pub const fn anywhere() -> [Self; 2] {
        [Self::Ipv4(Ipv4Cidr::ALL), Self::Ipv6(Ipv6Cidr::ALL)]
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ipv4(cidr) => cidr.fmt(f),
            Self::Ipv6(cidr) => cidr.fmt(f),
            Self::SecurityGroup(id) => id.fmt(f),
        }
    }
}

/// An IP protocol, or all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Every protocol.
    All,
    /// The protocol with this number (IANA).
    Number(u8),
}

impl Protocol {
    /// TCP.
    pub const TCP: Self = Self::Number(6);
    /// UDP.
    pub const UDP: Self = Self::Number(17);
    const NAMES: [(&'static str, u8); 4] = [("icmp", 1), ("tcp", 6), ("udp", 17), ("icmpv6", 58)];

    /// Whether packets of it carry ports.
    pub fn has_ports(self) -> bool {
        matches!(self, Self::TCP | Self::UDP)
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
        let reason = "expected all, tcp, udp, icmp, icmpv6 or a number from 0 to 255";
        text.parse().map(Self::Number).map_err(|_| ModelError::malformed("a protocol", text, reason))
    }
}

serde_as_text!(Protocol);

/// A range of ports, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// The first port.
    pub const fn first(self) -> u16 {
        self.first
    }

    /// The last port.
    pub const fn last(self) -> u16 {
        self.last
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            return self.first.fmt(f);
        }
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl FromStr for PortRange {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        let malformed = |reason: &str| ModelError::malformed("a port range", text, reason);
        let port = |part: &str| {
            part.parse::<u16>().map_err(|_| malformed("expected `443` or `8000-8080`, 0 to 65535"))
        };
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last) = (port(first)?, port(last)?);
        if first > last {
            return Err(malformed("the range is upside down"));
        }
        Ok(Self { first, last })
    }
}

serde_as_text!(PortRange);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_have_names_and_numbers() {
        for (text, protocol) in
            [("all", Protocol::All), ("tcp", Protocol::TCP), ("132", Protocol::Number(132))]
        {
            assert_eq!(text.parse(), Ok(protocol));
            assert_eq!(protocol.to_string(), text);
        }
        assert!("256".parse::<Protocol>().is_err());
        assert!("TCP".parse::<Protocol>().is_err());
    }

    #[test]
    fn a_range_upside_down_is_refused() {
        assert_eq!("80".parse::<PortRange>().unwrap().to_string(), "80");
        assert_eq!("80-90".parse::<PortRange>().unwrap().to_string(), "80-90");
        assert!("90-80".parse::<PortRange>().unwrap_err().to_string().contains("upside down"));
        assert!("65536".parse::<PortRange>().is_err());
    }
}
