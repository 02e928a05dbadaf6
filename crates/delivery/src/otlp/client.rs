//! HTTP to a collector: one request, one answer.

use std::time::Duration;

use prost::Message;
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;

use crate::error::DeliveryError;
use crate::net::PATIENCE;

const PROTOBUF: &str = "application/x-protobuf";

/// What is read of an answer: it is a few octets, or a message for people.
const LONGEST_ANSWER: usize = 64 * 1024;
const LONGEST_MESSAGE: usize = 200;

/// An HTTP client with its connection.
#[derive(Debug)]
pub(super) struct Client {
    destination: String,
    url: String,
    http: reqwest::Client,
}

/// Records that a collector does not want.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rejection {
    pub(super) records: u64,
    pub(super) message: String,
}

impl Client {
    pub(super) fn new(address: &str) -> Result<Self, DeliveryError> {
        // reqwest takes the process's provider of cryptography. One that is there already is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let destination = format!("otlp+{address}");
        let mut builder = reqwest::Client::builder();
        if !address.starts_with("https://") {
            // A host without certificates of its own can do without them.
            builder = builder.tls_certs_only([]);
        }
        let http = builder
            // The collector is who the user says it is, whatever the daemon's environment and the answers say.
            .no_proxy()
            .redirect(Policy::none())
            .connect_timeout(PATIENCE)
            .timeout(PATIENCE)
            .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")))
            .build();
        match http {
            Ok(http) => Ok(Self { destination, url: format!("{address}/v1/logs"), http }),
            Err(source) => Err(DeliveryError::Http { destination, source }),
        }
    }

    /// Sends a request, and says what of it was rejected.
    pub(super) async fn send(&self, body: Vec<u8>) -> Result<Option<Rejection>, DeliveryError> {
        let request = self.http.post(&self.url).header(CONTENT_TYPE, PROTOBUF).body(body);
        let mut response = request.send().await.map_err(|source| self.failed(source))?;
        let mut answer = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|source| self.failed(source))? {
            answer.extend_from_slice(&chunk);
            if answer.len() > LONGEST_ANSWER {
                break;
            }
        }
        if response.status().is_success() {
            return Ok(rejection(&answer));
        }
        Err(DeliveryError::Status {
            destination: self.destination.clone(),
            status: response.status().as_u16(),
            message: said(response.headers(), &answer),
            retry_after: retry_after(response.headers()),
        })
    }

    fn failed(&self, source: reqwest::Error) -> DeliveryError {
        let destination = self.destination.clone();
        if source.is_timeout() {
            return DeliveryError::TimedOut { destination, action: "to answer", limit: PATIENCE };
        }
        DeliveryError::Http { destination, source: source.without_url() }
    }

    /// That the collector does not want some records.
    pub(super) fn rejected(&self, records: u64, message: String) -> DeliveryError {
        DeliveryError::Rejected { destination: self.destination.clone(), records, message }
    }
}

/// ExportLogsServiceResponse: what it says is in `partial_success`.
#[derive(Clone, PartialEq, Message)]
struct Answer {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

/// ExportLogsPartialSuccess.
#[derive(Clone, PartialEq, Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected_log_records: i64,
    #[prost(string, tag = "2")]
    error_message: String,
}

/// google.rpc.Status, in which a collector says why it refuses.
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(string, tag = "2")]
    message: String,
}

/// What a collector that has said yes has not taken. A collector that answers in another form has said yes all the same.
fn rejection(answer: &[u8]) -> Option<Rejection> {
    let partial = Answer::decode(answer).ok()?.partial_success?;
    let records = u64::try_from(partial.rejected_log_records).ok().filter(|records| *records > 0)?;
    Some(Rejection { records, message: shortened(&partial.error_message) })
}

fn said(headers: &HeaderMap, answer: &[u8]) -> String {
    let is_protobuf = headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes() == PROTOBUF.as_bytes());
    match Status::decode(answer) {
        Ok(status) if is_protobuf => shortened(&status.message),
        _ => shortened(&String::from_utf8_lossy(answer)),
    }
}

/// The beginning of a text in one line.
fn shortened(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    words.chars().filter(|letter| !letter.is_control()).take(LONGEST_MESSAGE).collect()
}

/// Retry-After in seconds. Its other form, a date, is left to the caller's own back-off.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}
