//! Flow records as log records by OTLP over HTTP, in protobuf's binary form (OTLP 1.x, "OTLP/HTTP").

mod attribute;
mod client;
mod protobuf;
mod request;

use std::time::{SystemTime, UNIX_EPOCH};

use self::client::Client;
use crate::error::DeliveryError;
use crate::sink::Parcel;

/// A client of one collector.
#[derive(Debug)]
pub struct OtlpSink {
    client: Client,
    /// How far the parcel got that was not delivered whole.
    progress: Progress,
}

/// How far a parcel has got.
#[derive(Debug, Clone, Default)]
struct Progress {
    position: u64,
    /// How many of its records, in the order of requests, the collector has answered for.
    records: usize,
    /// How many of those it does not want, and why in its words.
    rejected: u64,
    message: String,
}

impl OtlpSink {
    /// A client of the collector at this address (`http://127.0.0.1:4318`) that has not sent anything yet.
    ///
    /// # Errors
    /// TLS can't be set up.
    pub fn new(address: &str) -> Result<Self, DeliveryError> {
        Ok(Self { client: Client::new(address)?, progress: Progress::default() })
    }

    /// Delivers a parcel, in requests of bounded size. When a parcel is repeated, it goes on where it failed: what the
    /// collector has taken is not sent again.
    ///
    /// # Errors
    /// The collector does not answer, or refuses; or it rejects records.
    pub async fn deliver(&mut self, parcel: &Parcel<'_>) -> Result<(), DeliveryError> {
        if self.progress.position != parcel.position || self.progress.records > parcel.records.len() {
            self.progress = Progress { position: parcel.position, ..Progress::default() };
        }
        let records = parcel.by_interface();
        let observed = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        let observed = u64::try_from(observed).unwrap_or(u64::MAX);
        while let Some(rest) = records.get(self.progress.records..).filter(|rest| !rest.is_empty()) {
            let request = request::next(rest, parcel.format, observed);
            let (rejected, message) = match self.client.send(request.body).await {
                Ok(None) => (0, None),
                Ok(Some(rejection)) => (rejection.records, Some(rejection.message)),
                Err(error) if error.is_worth_repeating() => return Err(error),
                // The requests after it may be as they should.
                Err(error) => (request.records as u64, Some(error.to_string())),
            };
            self.progress.records += request.records.max(1);
            self.progress.rejected += rejected;
            self.progress.message = message.unwrap_or_else(|| std::mem::take(&mut self.progress.message));
        }
        let Progress { rejected, message, .. } = std::mem::take(&mut self.progress);
        match rejected {
            0 => Ok(()),
            records => Err(self.client.rejected(records, message)),
        }
    }
}

/// Whether a collector answers at this address, and takes log records: asked with a request that has none.
pub(crate) async fn probe(address: &str) -> Result<(), DeliveryError> {
    Client::new(address)?.send(Vec::new()).await.map(drop)
}
