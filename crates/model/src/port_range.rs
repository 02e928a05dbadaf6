//! Ranges of ports.

use std::fmt;
use std::str::FromStr;

use crate::error::{ModelError, serde_as_text};

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
    fn a_range_upside_down_is_refused() {
        assert_eq!("80".parse::<PortRange>().unwrap().to_string(), "80");
        assert_eq!("80-90".parse::<PortRange>().unwrap().to_string(), "80-90");
        assert!("90-80".parse::<PortRange>().unwrap_err().to_string().contains("upside down"));
        assert!("65536".parse::<PortRange>().is_err());
    }
}
