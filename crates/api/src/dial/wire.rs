//! What is said over the dial socket: a message is a packet of JSON, and answers carry sockets (unix(7), SCM_RIGHTS).

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// The most bytes of a request, and of an answer.
pub const MAX_MESSAGE: usize = 4096;
/// How long a connection may take where the caller does not say, in milliseconds.
pub const DEFAULT_TIMEOUT_MS: u32 = 10_000;
/// The longest that a caller may ask for, in milliseconds.
pub const MAX_TIMEOUT_MS: u32 = 120_000;
/// The most sockets that one request may ask for.
pub const MAX_SOCKETS: u8 = 16;
/// What an answer calls the platform ENI, the host's own.
pub const PLATFORM: &str = "platform";

/// A request: for a connection to `host` and `port`, or for `sockets` that the caller connects.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Request {
    /// The caller's own number, which the answer repeats.
    #[serde(default)]
    pub id: u64,
    /// On behalf of which task.
    pub task: String,
    /// On whose behalf within the task: a traffic class, `application` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// A name or an address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The port there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// TCP where absent.
    #[serde(default)]
    pub protocol: Protocol,
    /// How long it may take, [`DEFAULT_TIMEOUT_MS`] where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u32>,
    /// In place of a host and a port: so many sockets, not connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sockets: Option<u8>,
    /// The family of those sockets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<Family>,
}

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP, on a socket that has its peer: it receives from nobody else.
    Udp,
}

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

/// An answer. One without an error carries its sockets.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// The request's number; 0 if that could not be read.
    pub id: u64,
    /// The connection's own address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<SocketAddr>,
    /// The address it is connected to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<SocketAddr>,
    /// The traffic class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// The ENI's id, or [`PLATFORM`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eni: Option<String>,
    /// Why there is no connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Refusal>,
}

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// For programs; it does not change from one version to the next.
    pub code: ErrorCode,
    /// For people: one sentence.
    pub message: String,
}

/// What a refusal is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorCode {
    /// The caller may not dial.
    NotPermitted,
    /// The request can't be read, or says what makes no sense.
    BadRequest,
    /// There is no such task.
    NoSuchTask,
    /// The task is there, and its network namespace is not.
    TaskBroken,
    /// There is no such traffic class.
    UnknownClass,
    /// The task's platform version does not have the class.
    ClassNotCarried,
    /// The name has no address, or no resolver answered.
    NameNotResolved,
    /// The other end refuses connections to the port.
    Refused,
    /// A security group of either end lets no such connection through.
    SecurityGroup,
    /// No route leads there, or the ENI has no address of that family.
    Unreachable,
    /// It took longer than it may.
    TimedOut,
    /// There are as many dials under way as there may be: try again.
    TooMany,
    /// The task was deleted meanwhile.
    TaskDeleted,
    /// The daemon failed, and has logged why.
    Internal,
    /// A code of a later version.
    #[serde(other)]
    Unknown,
}

impl ErrorCode {
    /// The code as it stands in an answer.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotPermitted => "not-permitted",
            Self::BadRequest => "bad-request",
            Self::NoSuchTask => "no-such-task",
            Self::TaskBroken => "task-broken",
            Self::UnknownClass => "unknown-class",
            Self::ClassNotCarried => "class-not-carried",
            Self::NameNotResolved => "name-not-resolved",
            Self::Refused => "refused",
            Self::SecurityGroup => "security-group",
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed-out",
            Self::TooMany => "too-many",
            Self::TaskDeleted => "task-deleted",
            Self::Internal => "internal",
            Self::Unknown => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_what_the_documentation_says() {
        let text = r#"{"id":7,"task":"web","class":"secrets","host":"db.internal","port":5432,"protocol":"tcp","timeoutMs":5000}"#;
        let request: Request = serde_json::from_str(text).unwrap();
        assert_eq!(request.host.as_deref(), Some("db.internal"));
        assert_eq!(serde_json::to_string(&request).unwrap(), text);
        let short: Request = serde_json::from_str(r#"{"task":"web","host":"::1","port":1}"#).unwrap();
        assert_eq!((short.id, short.class, short.protocol), (0, None, Protocol::Tcp));
        for wrong in
            [r#"{"host":"a","port":1}"#, r#"{"task":"web","hots":"a"}"#, r#"{"task":"web","port":65536}"#]
        {
            serde_json::from_str::<Request>(wrong).unwrap_err();
        }
    }

    #[test]
    fn codes_read_back_and_later_ones_are_unknown() {
        let code = |text: &str| serde_json::from_str::<ErrorCode>(&format!("\"{text}\"")).unwrap();
        for known in
            [ErrorCode::NotPermitted, ErrorCode::NameNotResolved, ErrorCode::TooMany, ErrorCode::Refused]
        {
            assert_eq!(code(known.as_str()), known);
            assert_eq!(serde_json::to_string(&known).unwrap(), format!("\"{}\"", known.as_str()));
        }
        assert_eq!(code("of-tomorrow"), ErrorCode::Unknown);
    }
}
