//! The way of records to where they are wanted.

use enid_flowlog::{FlowRecord, Format};

use crate::destination::Destination;
use crate::error::DeliveryError;
use crate::ipfix::IpfixSink;
use crate::otlp::OtlpSink;

/// Records that go to a destination together: they are delivered whole, or again.
#[derive(Debug, Clone, Copy)]
pub struct Parcel<'a> {
    /// The records, in the order of their starts.
    pub records: &'a [FlowRecord],
    /// The flow log's format.
    pub format: &'a Format,
    /// Where the parcel is in the flow log's records: the same when the parcel is repeated, and only then.
    pub position: u64,
}

impl<'a> Parcel<'a> {
    /// The records ENI by ENI, those of each in their order: both protocols of collectors tell once what an ENI's
    /// records have in common.
    pub(crate) fn by_interface(&self) -> Vec<&'a FlowRecord> {
        let mut records: Vec<_> = self.records.iter().collect();
        records.sort_by_key(|record| record.interface.eni);
        records
    }
}

/// A collector at work: where the parcels of one flow log go, one after the other.
#[derive(Debug)]
pub enum Sink {
    /// An IPFIX collector.
    Ipfix(Box<IpfixSink>),
    /// An OpenTelemetry collector.
    Otlp(Box<OtlpSink>),
}

impl Sink {
    /// The sink of a destination that is a collector; none for one that takes files. Nothing is sent or looked up yet.
    ///
    /// # Errors
    /// TLS can't be set up.
    pub fn to_collector(destination: &Destination) -> Result<Option<Self>, DeliveryError> {
        Ok(match destination {
            Destination::Ipfix(transport, endpoint) => {
                Some(Self::Ipfix(Box::new(IpfixSink::new(*transport, endpoint.clone()))))
            }
            Destination::Otlp(address) => Some(Self::Otlp(Box::new(OtlpSink::new(address)?))),
            Destination::Directory(_) | Destination::Bucket { .. } => None,
        })
    }

    /// Delivers a parcel: all of it, or an error that says whether to repeat it. Each step is bounded in time.
    ///
    /// # Errors
    /// The collector can't be reached, is too slow, or refuses.
    pub async fn deliver(&mut self, parcel: &Parcel<'_>) -> Result<(), DeliveryError> {
        match self {
            Self::Ipfix(sink) => sink.deliver(parcel).await,
            Self::Otlp(sink) => sink.deliver(parcel).await,
        }
    }
}
