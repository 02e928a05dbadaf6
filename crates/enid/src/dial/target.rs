//! Whom to connect to.

use std::fmt;
use std::net::IpAddr;

use enid_api::dial::wire::{ErrorCode, Refusal};

use super::refuse;

/// The longest name that DNS has, with its last dot (RFC 1035, 2.3.4).
const LONGEST_NAME: usize = 254;

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) host: Host,
    pub(crate) port: u16,
}

/// A host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Host {
    Address(IpAddr),
    Name(String),
}

impl Target {
    /// Parses a host: an address without brackets, or a name.
    pub(crate) fn new(host: &str, port: u16) -> Result<Self, Refusal> {
        if port == 0 {
            return Err(refuse(ErrorCode::BadRequest, "0 is not a port that can be connected to"));
        }
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(Self { host: Host::Address(address.to_canonical()), port });
        }
        let is_name = !host.is_empty() && host.len() <= LONGEST_NAME;
        // What else a name may hold is the resolver's to say; these would lead astray whoever reads a log.
        if !is_name || host.chars().any(|character| character.is_control() || character.is_whitespace()) {
            let message = format!("the host {:?} is neither an address nor a name", shortened(host));
            return Err(refuse(ErrorCode::BadRequest, message));
        }
        Ok(Self { host: Host::Name(host.to_owned()), port })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Address(address) => std::net::SocketAddr::new(*address, self.port).fmt(f),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

/// So much of a text as belongs in a sentence.
pub(crate) fn shortened(text: &str) -> String {
    const MOST: usize = 100;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hosts_are_addresses_or_names() {
        let host = |text: &str| Target::new(text, 1).map(|target| target.host).ok();
        assert_eq!(host("10.0.0.1"), Some(Host::Address([10, 0, 0, 1].into())));
        assert_eq!(host("::ffff:10.0.0.1"), Some(Host::Address([10, 0, 0, 1].into())));
        assert_eq!(host("fd00::1"), Some(Host::Address("fd00::1".parse().unwrap())));
        assert_eq!(host("db.internal."), Some(Host::Name("db.internal.".to_owned())));
        for wrong in ["", "a b", "a\0", "a\r\nHost: b", &"a".repeat(255)] {
            assert_eq!(host(wrong), None, "{wrong:?}");
        }
        assert!(Target::new("db", 0).is_err());
        assert_eq!(Target::new("fd00::1", 80).unwrap().to_string(), "[fd00::1]:80");
    }

    proptest! {
        #[test]
        fn any_text_is_a_host_or_is_refused_in_a_short_sentence(text: String, port: u16) {
            match Target::new(&text, port) {
                Ok(target) => prop_assert_eq!(target.port, port),
                Err(refusal) => prop_assert!(refusal.message.len() < 2000),
            }
        }
    }
}
