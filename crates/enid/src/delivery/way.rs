//! The way to a destination: files into a directory or bucket, or a collector.

use bytes::Bytes;
use enid_delivery::{Destination, FileFormat, FlowLog, Parcel, Sink};
use enid_flowlog::{Bucket, BucketAddress, FileKind, FileSeries, Format, Layout, Place};

use super::Deliveries;
use super::parcel::Gathered;
use crate::EnidError;

/// Where the parcels of one flow log go.
#[derive(Debug)]
pub(super) enum Way {
    Files { place: Place, series: Box<FileSeries>, format: Format },
    Collector { sink: Sink, format: Format },
}

impl Way {
    /// The way of a flow log. Nothing is sent or asked yet.
    pub(super) fn open(deliveries: &Deliveries, flow_log: &FlowLog) -> Result<Self, EnidError> {
        let format = flow_log.format.clone();
        if let Some(place) = place_of(&flow_log.destination)? {
            let series = FileSeries {
                account: deliveries.account.clone(),
                region: deliveries.region.clone(),
                id: flow_log.id,
                writer: rustix::system::uname().nodename().to_string_lossy().into_owned(),
                kind: match flow_log.files.format {
                    FileFormat::Text => FileKind::Gzip,
                    FileFormat::Parquet => FileKind::Parquet,
                },
                layout: Layout {
                    hive_partitions: flow_log.files.hive_partitions,
                    hourly_partitions: flow_log.files.hourly_partitions,
                },
            };
            return Ok(Self::Files { place, series: Box::new(series), format });
        }
        match Sink::to_collector(&flow_log.destination)? {
            Some(sink) => Ok(Self::Collector { sink, format }),
            None => Err(EnidError::Destination {
                destination: flow_log.destination.to_string(),
                reason: "there is no way to it".to_owned(),
            }),
        }
    }

    /// Hands records over: all of them, or an error and maybe some, which a repetition replaces where files are taken.
    pub(super) async fn deliver(&mut self, gathered: &Gathered) -> Result<(), EnidError> {
        if gathered.records.is_empty() {
            return Ok(());
        }
        match self {
            Self::Files { place, series, format } => {
                let files = tokio::task::block_in_place(|| {
                    series.files(format, &gathered.records, gathered.position())
                })?;
                for file in files {
                    place.put(&file.key, Bytes::from(file.bytes)).await?;
                }
                Ok(())
            }
            Self::Collector { sink, format } => {
                let parcel = Parcel { records: &gathered.records, format, position: gathered.position() };
                Ok(sink.deliver(&parcel).await?)
            }
        }
    }
}

fn place_of(destination: &Destination) -> Result<Option<Place>, EnidError> {
    Ok(match destination {
        Destination::Directory(path) => Some(Place::Directory(path.clone())),
        Destination::Bucket { bucket, prefix, endpoint, region } => {
            let address = BucketAddress {
                bucket: bucket.clone(),
                prefix: prefix.clone(),
                endpoint: endpoint.clone(),
                region: region.clone(),
            };
            Some(Place::Bucket(Bucket::new(&address)?))
        }
        Destination::Ipfix(..) | Destination::Otlp(_) => None,
    })
}

/// Says what is wrong with a destination, as far as that can be known before the first delivery.
pub(crate) async fn probe(destination: &Destination) -> Result<(), EnidError> {
    let refused = |reason: String| {
        let destination = destination.to_string();
        // Errors of collectors begin with what they are of, which is said already.
        let reason = reason.strip_prefix(&format!("{destination}: ")).unwrap_or(&reason).to_owned();
        EnidError::Destination { destination, reason }
    };
    match place_of(destination)? {
        Some(place) => place.probe().await.map_err(|error| refused(error.to_string())),
        None => enid_delivery::probe(destination).await.map_err(|error| refused(error.to_string())),
    }
}
