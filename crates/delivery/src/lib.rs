//! Flow logs, and the destinations that their records are delivered to.
//!
//! A [`FlowLog`] says which records of which ENIs are wanted, as what, and where; its [`Destination`] is a directory, an
//! object store or a collector.

mod destination;
mod flow_log;
mod shown_tags;

pub use destination::{Destination, Endpoint, Transport};
pub use flow_log::{AggregationInterval, FileFormat, FileOptions, FlowLog, Target, TrafficFilter};
