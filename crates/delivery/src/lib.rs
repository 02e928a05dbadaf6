//! Flow logs, and the destinations that their records are delivered to.
//!
//! A [`FlowLog`] says which records of which ENIs are wanted, as what, and where; its [`Destination`] is a directory, an
//! object store or a collector. A [`Sink`] delivers [`Parcel`]s of records to a collector; [`probe()`] says beforehand
//! what is wrong with a destination.

mod destination;
mod error;
mod flow_log;
mod ipfix;
mod net;
mod otlp;
mod probe;
mod shown_tags;
mod sink;

pub use destination::{Destination, Endpoint, Transport};
pub use error::DeliveryError;
pub use flow_log::{AggregationInterval, FileFormat, FileOptions, FlowLog, Target, TrafficFilter};
pub use ipfix::IpfixSink;
pub use otlp::OtlpSink;
pub use probe::probe;
pub use sink::{Parcel, Sink};
