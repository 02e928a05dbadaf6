//! Services whose published prefixes hold an address, from a file in the form of `ip-ranges.json`.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use enid_model::{Identifier, Ipv4Cidr, Ipv6Cidr};
use serde::Deserialize;

use crate::EnidError;

/// The service that holds every published prefix, those of other services among them.
const ALL_OF_THEM: &str = "AMAZON";
/// Holds the prefixes of many services that run on it.
const MANY_OF_THEM: &str = "EC2";
/// What an IPv4 prefix is longer by as an IPv6 prefix (RFC 4291, 2.5.5.2).
const MAPPED: u8 = 96;

/// A file of prefixes, read again when it has changed.
#[derive(Debug)]
pub(crate) struct ServiceFile {
    /// None if there is no file.
    source: Option<(PathBuf, Stamp)>,
    services: Services,
}

/// What tells a file that was changed: the time of its last change, its length, its inode.
type Stamp = (Option<SystemTime>, u64, u64);

impl ServiceFile {
    /// Reads the file; without a file no address is a service's.
    ///
    /// # Errors
    /// The file can't be read, or is not of the published form.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, EnidError> {
        let Some(path) = path else { return Ok(Self { source: None, services: Services::default() }) };
        // Before the text: what changes in between is read again.
        let stamp = stamp(path).map_err(EnidError::file("read", path))?;
        Ok(Self { services: Services::read(path)?, source: Some((path.to_owned(), stamp)) })
    }

    /// Reads the file again if it has changed. One that can't be used leaves things as they are.
    pub(crate) fn refresh(&mut self) {
        let Some((path, known)) = &mut self.source else { return };
        let Ok(stamp) = stamp(path) else { return };
        if stamp == *known {
            return;
        }
        *known = stamp;
        match Services::read(path) {
            Ok(services) => self.services = services,
            Err(error) => tracing::error!(%error, "services are told by the prefixes that there were before"),
        }
    }

    /// The service whose prefix holds an address.
    pub(crate) fn of(&self, address: IpAddr) -> Option<Arc<str>> {
        self.services.of(address)
    }
}

fn stamp(path: &Path) -> std::io::Result<Stamp> {
    let metadata = fs::metadata(path)?;
    Ok((metadata.modified().ok(), metadata.len(), metadata.ino()))
}

/// Which addresses are whose.
#[derive(Debug, Default)]
struct Services {
    /// Of every service but the one that holds them all.
    specific: Vec<Range>,
    all: Vec<Range>,
}

/// Addresses of one service; an IPv4 address as its mapped IPv6 address.
#[derive(Debug)]
struct Range {
    first: u128,
    last: u128,
    service: Arc<str>,
}

/// A prefix of a service.
struct Prefix {
    first: u128,
    length: u8,
    service: Arc<str>,
}

impl Prefix {
    fn new(network: IpAddr, length: u8, service: &Identifier) -> Self {
        Self { first: number(network), length, service: service.as_str().into() }
    }

    fn last(&self) -> u128 {
        self.first | u128::MAX.checked_shr(self.length.into()).unwrap_or(0)
    }
}

/// The published form, as far as it matters here.
#[derive(Deserialize)]
struct Published {
    prefixes: Vec<Ipv4Prefix>,
    ipv6_prefixes: Vec<Ipv6Prefix>,
}

#[derive(Deserialize)]
struct Ipv4Prefix {
    ip_prefix: Ipv4Cidr,
    service: Identifier,
}

#[derive(Deserialize)]
struct Ipv6Prefix {
    ipv6_prefix: Ipv6Cidr,
    service: Identifier,
}

impl Services {
    fn read(path: &Path) -> Result<Self, EnidError> {
        let text = fs::read_to_string(path).map_err(EnidError::file("read", path))?;
        Self::parse(&text)
            .map_err(|error| EnidError::Services { path: path.to_owned(), reason: error.to_string() })
    }

    fn parse(text: &str) -> serde_json::Result<Self> {
        let Published { prefixes, ipv6_prefixes } = serde_json::from_str(text)?;
        let ipv4 = prefixes.iter().map(|Ipv4Prefix { ip_prefix, service }| {
            Prefix::new(ip_prefix.network().into(), ip_prefix.prefix() + MAPPED, service)
        });
        let ipv6 = ipv6_prefixes.iter().map(|Ipv6Prefix { ipv6_prefix, service }| {
            Prefix::new(ipv6_prefix.network().into(), ipv6_prefix.prefix(), service)
        });
        let (all, specific) = ipv4.chain(ipv6).partition(|prefix| &*prefix.service == ALL_OF_THEM);
        Ok(Self { specific: ranges(specific), all: ranges(all) })
    }

    fn of(&self, address: IpAddr) -> Option<Arc<str>> {
        let address = number(address);
        find(&self.specific, address).or_else(|| find(&self.all, address)).map(Arc::clone)
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn find(ranges: &[Range], address: u128) -> Option<&Arc<str>> {
    let after = ranges.partition_point(|range| range.first <= address);
    let range = ranges.get(after.checked_sub(1)?)?;
    (address <= range.last).then_some(&range.service)
}

/// Cuts prefixes, which lie in each other, into ranges that don't, in order: each of the longest prefix there. Of the same
/// prefix of several services, the first by name has it, and the one that many run on the last.
fn ranges(mut prefixes: Vec<Prefix>) -> Vec<Range> {
    // What comes later wins.
    let is_specific = |prefix: &Prefix| &*prefix.service != MANY_OF_THEM;
    prefixes.sort_by(|a, b| {
        let by_place = (a.first, a.length, is_specific(a)).cmp(&(b.first, b.length, is_specific(b)));
        by_place.then_with(|| b.service.cmp(&a.service))
    });
    let mut cut = Cut { ranges: Vec::new(), next: Some(0) };
    let mut around: Vec<Prefix> = Vec::new();
    for prefix in prefixes {
        while let Some(done) = around.pop_if(|inner| inner.last() < prefix.first) {
            cut.until(done.last(), &done.service);
        }
        if let (Some(outer), Some(before)) = (around.last(), prefix.first.checked_sub(1)) {
            cut.until(before, &outer.service);
        }
        cut.next = Some(prefix.first);
        around.push(prefix);
    }
    while let Some(done) = around.pop() {
        cut.until(done.last(), &done.service);
    }
    cut.ranges
}

/// Ranges so far, and the first address that is in none of them; none after the last of all.
struct Cut {
    ranges: Vec<Range>,
    next: Option<u128>,
}

impl Cut {
    fn until(&mut self, last: u128, service: &Arc<str>) {
        let Some(first) = self.next.filter(|first| *first <= last) else { return };
        self.next = last.checked_add(1);
        match self.ranges.last_mut() {
            Some(range) if range.last.checked_add(1) == Some(first) && range.service == *service => {
                range.last = last;
            }
            _ => self.ranges.push(Range { first, last, service: Arc::clone(service) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PUBLISHED: &str = r#"{
        "syncToken": "1", "createDate": "2026-11-21-00-00-00",
        "prefixes": [
            {"ip_prefix": "52.94.0.0/16", "region": "GLOBAL", "service": "AMAZON", "network_border_group": "GLOBAL"},
            {"ip_prefix": "52.94.0.0/22", "region": "us-east-1", "service": "DYNAMODB", "network_border_group": "us-east-1"},
            {"ip_prefix": "52.94.1.0/24", "region": "us-east-1", "service": "AMAZON", "network_border_group": "us-east-1"},
            {"ip_prefix": "3.5.0.0/19", "region": "us-east-1", "service": "EC2", "network_border_group": "us-east-1"},
            {"ip_prefix": "3.5.0.0/19", "region": "us-east-1", "service": "S3", "network_border_group": "us-east-1"},
            {"ip_prefix": "3.5.8.0/24", "region": "us-east-1", "service": "EC2", "network_border_group": "us-east-1"}
        ],
        "ipv6_prefixes": [
            {"ipv6_prefix": "2600:1f00::/24", "region": "GLOBAL", "service": "AMAZON", "network_border_group": "GLOBAL"},
            {"ipv6_prefix": "2600:1f18::/33", "region": "us-east-1", "service": "EC2", "network_border_group": "us-east-1"}
        ]
    }"#;

    #[test]
    fn an_address_has_the_most_specific_service() {
        let services = Services::parse(PUBLISHED).unwrap();
        for (address, service) in [
            ("52.94.0.1", Some("DYNAMODB")),
            ("52.94.1.1", Some("DYNAMODB")),
            ("52.94.3.255", Some("DYNAMODB")),
            ("52.94.4.0", Some("AMAZON")),
            ("52.95.0.0", None),
            ("3.5.0.0", Some("S3")),
            ("3.5.8.1", Some("EC2")),
            ("3.5.9.0", Some("S3")),
            ("2600:1f18:1::", Some("EC2")),
            ("2600:1f18:8000::", Some("AMAZON")),
            ("2600:2000::", None),
            ("10.0.0.4", None),
            ("::", None),
        ] {
            assert_eq!(services.of(address.parse().unwrap()).as_deref(), service, "{address}");
        }
    }

    #[test]
    fn what_is_not_of_the_form_is_said() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ip-ranges.json");
        let error = |text: &str| {
            fs::write(&path, text).unwrap();
            ServiceFile::open(Some(&path)).unwrap_err().to_string()
        };
        assert!(
            error("<html>").contains("ip-ranges.json: expected value at line 1 column 1"),
            "{}",
            error("<")
        );
        assert!(error("{}").contains("missing field `prefixes`"), "{}", error("{}"));
        let bad = PUBLISHED.replace("3.5.8.0/24", "3.5.8.0/33");
        assert!(error(&bad).contains("line 9"), "{}", error(&bad));
        fs::remove_file(&path).unwrap();
        assert!(ServiceFile::open(Some(&path)).unwrap_err().to_string().contains("ip-ranges.json"));
    }

    #[test]
    fn a_file_that_changes_is_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ip-ranges.json");
        fs::write(&path, PUBLISHED).unwrap();
        let mut file = ServiceFile::open(Some(&path)).unwrap();
        let of = |file: &ServiceFile| file.of("3.5.8.1".parse().unwrap()).as_deref().map(str::to_owned);
        assert_eq!(of(&file).as_deref(), Some("EC2"));
        fs::write(&path, "not JSON").unwrap();
        file.refresh();
        assert_eq!(of(&file).as_deref(), Some("EC2"));
        fs::write(&path, PUBLISHED.replace("\"3.5.8.0/24\"", "\"3.5.7.0/24\"")).unwrap();
        file.refresh();
        assert_eq!(of(&file).as_deref(), Some("S3"));
    }

    /// Prefixes that lie in each other, of few services, and addresses near them.
    fn prefix() -> impl Strategy<Value = (u128, u8, &'static str)> {
        let service = prop::sample::select(vec!["S3", "EC2", "DYNAMODB"]);
        (0..16_u128, 0..=4_u8, service).prop_map(|(number, length, service)| {
            let kept = if length == 0 { 0 } else { u128::MAX << (128 - u32::from(length)) };
            ((number << 124) & kept, length, service)
        })
    }

    proptest! {
        #[test]
        fn ranges_are_what_the_prefixes_say(prefixes in prop::collection::vec(prefix(), 0..8)) {
            let cut = ranges(
                prefixes
                    .iter()
                    .map(|(first, length, service)| Prefix {
                        first: *first,
                        length: *length,
                        service: (*service).into(),
                    })
                    .collect(),
            );
            for sixteenth in 0..16_u128 {
                for address in [sixteenth << 124, (sixteenth << 124) | (u128::MAX >> 4)] {
                    let holds = |(first, length, _): &&(u128, u8, &str)| {
                        *length == 0 || (first ^ address) >> (128 - u32::from(*length)) == 0
                    };
                    let wanted = prefixes.iter().filter(holds).max_by_key(|(_, length, service)| {
                        (*length, *service != "EC2", std::cmp::Reverse(*service))
                    });
                    let found = find(&cut, address).map(|service| &**service);
                    prop_assert_eq!(found, wanted.map(|(_, _, service)| *service));
                }
            }
        }
    }
}
