//! ICMP and ICMPv6 types and codes, as rules name them.

use std::fmt;
use std::str::FromStr;

use crate::Protocol;
use crate::error::{ModelError, serde_as_text};

/// Which ICMP or ICMPv6 messages a rule is for: those of one type, and of one code where it has one. Written `8/0`,
/// or `8` for every code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IcmpSelector {
    /// The type of message.
    pub icmp_type: u8,
    /// The code; all of the type's where absent.
    pub code: Option<u8>,
}

/// The messages that have a name here: the name, the ICMP type (RFC 792), the ICMPv6 type (RFC 4443).
const NAMES: [(&str, Option<u8>, Option<u8>); 6] = [
    ("echo-request", Some(8), Some(128)),
    ("echo-reply", Some(0), Some(129)),
    ("destination-unreachable", Some(3), Some(1)),
    ("time-exceeded", Some(11), Some(3)),
    ("parameter-problem", Some(12), Some(4)),
    ("packet-too-big", None, Some(2)),
];

impl IcmpSelector {
    /// As `FromStr`, of a selector whose type may have the name that it has in this protocol: `echo-request`.
    ///
    /// # Errors
    /// The type is neither a number nor a name of the protocol's, or the type or the code is out of range.
    pub fn parse(protocol: Protocol, text: &str) -> Result<Self, ModelError> {
        let (icmp_type, code) =
            text.split_once('/').map_or((text, None), |(first, code)| (first, Some(code)));
        let icmp_type = parse_icmp_type(protocol, icmp_type)?;
        Ok(Self { icmp_type, code: code.map(parse_icmp_code).transpose()? })
    }
}

/// The type of message of this number, or of this name in the protocol.
///
/// # Errors
/// It is neither.
pub(crate) fn parse_icmp_type(protocol: Protocol, text: &str) -> Result<u8, ModelError> {
    let number = |(name, icmp, icmpv6): (&'static str, Option<u8>, Option<u8>)| {
        let number = match protocol {
            Protocol::ICMP => icmp,
            Protocol::ICMPV6 => icmpv6,
            _ => None,
        };
        Some((name, number?))
    };
    let named: Vec<(&str, u8)> = NAMES.into_iter().filter_map(number).collect();
    if let Some((_, number)) = named.iter().find(|(name, _)| *name == text) {
        return Ok(*number);
    }
    text.parse().map_err(|_| {
        let mut expected: Vec<&str> = named.iter().map(|(name, _)| *name).collect();
        expected.push("a number from 0 to 255; leave it out for all");
        ModelError::malformed("an ICMP type", text, format!("expected {}", expected.join(", ")))
    })
}

/// The code of this number.
///
/// # Errors
/// It is no number from 0 to 255.
pub(crate) fn parse_icmp_code(text: &str) -> Result<u8, ModelError> {
    let reason = "expected a number from 0 to 255; leave it out for all";
    text.parse().map_err(|_| ModelError::malformed("an ICMP code", text, reason))
}

impl fmt::Display for IcmpSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.icmp_type)?;
        self.code.map_or(Ok(()), |code| write!(f, "/{code}"))
    }
}

impl FromStr for IcmpSelector {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        Self::parse(Protocol::All, text)
    }
}

serde_as_text!(IcmpSelector);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_back() {
        for (text, icmp_type, code) in [("8/0", 8, Some(0)), ("255/255", 255, Some(255)), ("3", 3, None)] {
            let selector = IcmpSelector { icmp_type, code };
            assert_eq!(text.parse(), Ok(selector));
            assert_eq!(selector.to_string(), text);
        }
    }

    #[test]
    fn names_are_of_a_protocol() {
        let parse = |protocol, text: &str| IcmpSelector::parse(protocol, text).map(|found| found.to_string());
        assert_eq!(parse(Protocol::ICMP, "echo-request"), Ok("8".to_owned()));
        assert_eq!(parse(Protocol::ICMPV6, "echo-request"), Ok("128".to_owned()));
        assert_eq!(parse(Protocol::ICMPV6, "destination-unreachable/4"), Ok("1/4".to_owned()));
        assert!(parse(Protocol::ICMP, "packet-too-big").is_err());
        assert!("echo-request".parse::<IcmpSelector>().is_err());
    }

    #[test]
    fn what_is_out_of_range_is_refused() {
        assert_eq!(
            "256/0".parse::<IcmpSelector>().unwrap_err().to_string(),
            "`256` is not an ICMP type: expected a number from 0 to 255; leave it out for all"
        );
        assert_eq!(
            "8/-1".parse::<IcmpSelector>().unwrap_err().to_string(),
            "`-1` is not an ICMP code: expected a number from 0 to 255; leave it out for all"
        );
        for text in ["", "/", "8/", "/0", "8/0/0"] {
            assert!(text.parse::<IcmpSelector>().is_err(), "{text}");
        }
    }
}
