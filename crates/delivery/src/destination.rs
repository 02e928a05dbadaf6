//! Where records are delivered to.

use std::fmt;
use std::path::{Component, PathBuf};
use std::str::FromStr;

use enid_model::ModelError;
use serde::{Deserialize, Serialize};

/// Where records are delivered to, as users write it:
///
/// | text | destination |
/// |---|---|
/// | `/var/log/flows`, `file:///var/log/flows` | files in a directory of this host |
/// | `s3://bucket/prefix?endpoint=http://127.0.0.1:9000&region=eu-central-1` | objects in a bucket; both options may be left out |
/// | `ipfix+udp://127.0.0.1:4739`, `ipfix+tcp://collector:4739` | an IPFIX collector (RFC 7011) |
/// | `otlp+http://127.0.0.1:4318`, `otlp+https://collector:4318` | an OpenTelemetry collector, log records by OTLP over HTTP |
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Destination {
    /// Files in a directory: an absolute path without `..`.
    Directory(PathBuf),
    /// Objects in a bucket of an S3-compatible store.
    Bucket {
        /// The bucket.
        bucket: String,
        /// What all keys begin with: no `/` at either end, and maybe empty.
        prefix: String,
        /// The store's address where it is not AWS: `http://127.0.0.1:9000`.
        endpoint: Option<String>,
        /// The bucket's region, where the daemon's environment does not say.
        region: Option<String>,
    },
    /// An IPFIX collector.
    Ipfix(Transport, Endpoint),
    /// An OpenTelemetry collector's address: `http://127.0.0.1:4318`, to which `/v1/logs` is added.
    Otlp(String),
}

/// What carries IPFIX messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// A message a datagram; none is repeated.
    Udp,
    /// One connection.
    Tcp,
}

/// A host, by name or address, and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// The name or address, an IPv6 address without its brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => write!(f, "file://{}", path.display()),
            Self::Bucket { bucket, prefix, endpoint, region } => {
                write!(f, "s3://{bucket}")?;
                if !prefix.is_empty() {
                    write!(f, "/{prefix}")?;
                }
                let options = [("endpoint", endpoint), ("region", region)];
                let options = options.iter().filter_map(|(key, value)| Some((key, value.as_ref()?)));
                for ((key, value), sign) in options.zip(["?", "&"]) {
                    write!(f, "{sign}{key}={value}")?;
                }
                Ok(())
            }
            Self::Ipfix(Transport::Udp, endpoint) => write!(f, "ipfix+udp://{endpoint}"),
            Self::Ipfix(Transport::Tcp, endpoint) => write!(f, "ipfix+tcp://{endpoint}"),
            Self::Otlp(address) => write!(f, "otlp+{address}"),
        }
    }
}

const FORMS: &str = "expected an absolute path, or file:///…, s3://bucket/…, ipfix+udp://host:port, \
    ipfix+tcp://host:port, otlp+http://host:port or otlp+https://host:port";

impl FromStr for Destination {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        let malformed = |reason: &str| ModelError::Malformed {
            kind: "a destination",
            value: text.to_owned(),
            reason: reason.to_owned(),
        };
        if text.contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
            return Err(malformed("there is white space in it"));
        }
        if text.starts_with('/') {
            return directory(text).map_err(malformed);
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(malformed(FORMS));
        };
        match scheme {
            "file" => directory(rest).map_err(malformed),
            "s3" => bucket(rest).map_err(malformed),
            "ipfix+udp" => Ok(Self::Ipfix(Transport::Udp, endpoint(rest).map_err(malformed)?)),
            "ipfix+tcp" => Ok(Self::Ipfix(Transport::Tcp, endpoint(rest).map_err(malformed)?)),
            "otlp+http" => Ok(Self::Otlp(format!("http://{}", endpoint(rest).map_err(malformed)?))),
            "otlp+https" => Ok(Self::Otlp(format!("https://{}", endpoint(rest).map_err(malformed)?))),
            _ => Err(malformed(FORMS)),
        }
    }
}

fn directory(path: &str) -> Result<Destination, &'static str> {
    let path = PathBuf::from(path);
    if !path.is_absolute() {
        return Err("a directory's path is absolute");
    }
    if path.components().any(|component| component == Component::ParentDir) {
        return Err("a directory's path is without `..`");
    }
    Ok(Destination::Directory(path.components().collect()))
}

fn bucket(rest: &str) -> Result<Destination, &'static str> {
    let (place, options) = rest.split_once('?').unwrap_or((rest, ""));
    let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
    if !(3..=63).contains(&bucket.len()) || !bucket.bytes().all(is_allowed) {
        return Err("a bucket's name is 3 to 63 lower-case letters, digits, `-` and `.`");
    }
    let (mut endpoint, mut region) = (None, None);
    for option in options.split('&').filter(|option| !option.is_empty()) {
        match option.split_once('=') {
            Some(("endpoint", value)) if value.starts_with("http://") || value.starts_with("https://") => {
                endpoint = Some(value.trim_end_matches('/').to_owned());
            }
            Some(("endpoint", _)) => return Err("an endpoint begins with `http://` or `https://`"),
            Some(("region", value)) if !value.is_empty() => region = Some(value.to_owned()),
            _ => return Err("a bucket's options are `endpoint=…` and `region=…`"),
        }
    }
    Ok(Destination::Bucket {
        bucket: bucket.to_owned(),
        prefix: prefix.trim_matches('/').to_owned(),
        endpoint,
        region,
    })
}

fn endpoint(text: &str) -> Result<Endpoint, &'static str> {
    const EXPECTED: &str =
        "expected a host and a port from 1 to 65535, as in `127.0.0.1:4739` or `[::1]:4739`";
    let (host, port) = text.trim_end_matches('/').rsplit_once(':').ok_or(EXPECTED)?;
    let port = port.parse().ok().filter(|port| *port != 0).ok_or(EXPECTED)?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host = match bare {
        Some(address) if address.parse::<std::net::Ipv6Addr>().is_ok() => address,
        None if !host.is_empty() && !host.contains([':', '/', '[', ']', '?', '@', '#']) => host,
        _ => return Err(EXPECTED),
    };
    Ok(Endpoint { host: host.to_owned(), port })
}

impl TryFrom<String> for Destination {
    type Error = ModelError;

    fn try_from(text: String) -> Result<Self, ModelError> {
        text.parse()
    }
}

impl From<Destination> for String {
    fn from(destination: Destination) -> Self {
        destination.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_read_back() {
        for (text, shown) in [
            ("/var/log/flows/", "file:///var/log/flows"),
            ("file:///var//log/./flows", "file:///var/log/flows"),
            ("s3://logs", "s3://logs"),
            ("s3://my.logs-1/a/b/", "s3://my.logs-1/a/b"),
            ("s3://logs?endpoint=http://[::1]:9000/", "s3://logs?endpoint=http://[::1]:9000"),
            ("s3://logs/a?region=x&endpoint=https://y", "s3://logs/a?endpoint=https://y&region=x"),
            ("ipfix+udp://127.0.0.1:4739", "ipfix+udp://127.0.0.1:4739"),
            ("ipfix+tcp://[::1]:4739", "ipfix+tcp://[::1]:4739"),
            ("otlp+http://collector:4318/", "otlp+http://collector:4318"),
            ("otlp+https://[fd00::1]:4318", "otlp+https://[fd00::1]:4318"),
        ] {
            let destination: Destination = text.parse().unwrap();
            assert_eq!(destination.to_string(), shown);
            assert_eq!(shown.parse::<Destination>().unwrap(), destination);
            let json = serde_json::to_string(&destination).unwrap();
            assert_eq!(serde_json::from_str::<Destination>(&json).unwrap(), destination);
        }
    }

    #[test]
    fn what_is_no_destination_is_said() {
        for (text, reason) in [
            ("", "expected an absolute path"),
            ("flows", "expected an absolute path"),
            ("ftp://host/x", "expected an absolute path"),
            ("/a b", "there is white space in it"),
            ("/a/../b", "a directory's path is without `..`"),
            ("file://a/b", "a directory's path is absolute"),
            ("s3://", "a bucket's name is"),
            ("s3://UPPER", "a bucket's name is"),
            ("s3://logs?endpoint=host", "an endpoint begins with"),
            ("s3://logs?key=x", "a bucket's options are"),
            ("ipfix+udp://host", "expected a host and a port"),
            ("ipfix+udp://host:0", "expected a host and a port"),
            ("ipfix+udp://::1:4739", "expected a host and a port"),
            ("ipfix+tcp://[x]:1", "expected a host and a port"),
            ("otlp+http://:4318", "expected a host and a port"),
            ("otlp+http://user@host:4318", "expected a host and a port"),
        ] {
            let message = text.parse::<Destination>().unwrap_err().to_string();
            assert!(message.starts_with(&format!("`{text}` is not a destination: {reason}")), "{message}");
        }
    }
}
