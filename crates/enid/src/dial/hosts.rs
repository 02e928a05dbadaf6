//! A hosts file: hosts(5).

use std::net::IpAddr;

/// Names and their addresses, in the file's order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Hosts(Vec<(String, IpAddr)>);

impl Hosts {
    /// Reads a file's text. A line that is none says nothing, as libc has it.
    pub(super) fn parse(text: &str) -> Self {
        let mut names = Vec::new();
        for line in text.lines() {
            let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
            let Some(Ok(address)) = words.next().map(str::parse::<IpAddr>) else { continue };
            names.extend(words.map(|name| (name.to_owned(), address)));
        }
        Self(names)
    }

    /// The addresses of a name.
    pub(super) fn get(&self, name: &str) -> Vec<IpAddr> {
        let name = name.strip_suffix('.').unwrap_or(name);
        let is_its = |(known, _): &&(String, IpAddr)| known.eq_ignore_ascii_case(name);
        self.0.iter().filter(is_its).map(|(_, address)| *address).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_whatever_their_case() {
        let hosts = Hosts::parse(
            "127.0.0.1 localhost\n::1 localhost # both\nnonsense web\n10.0.0.5\tip-10-0-0-5 web\n#10.0.0.6 web\n",
        );
        let addresses =
            |name: &str| -> Vec<String> { hosts.get(name).iter().map(ToString::to_string).collect() };
        assert_eq!(addresses("Localhost"), ["127.0.0.1", "::1"]);
        assert_eq!(addresses("web."), ["10.0.0.5"]);
        assert!(addresses("other").is_empty());
    }
}
