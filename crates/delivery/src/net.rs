//! Names, connections, and how long they may take.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};

use crate::destination::Endpoint;
use crate::error::DeliveryError;

/// What one step of talking to a collector may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// What the future gives, if it gives it in time.
pub(crate) async fn in_time<T>(
    destination: &str,
    action: &'static str,
    future: impl Future<Output = T>,
) -> Result<T, DeliveryError> {
    tokio::time::timeout(PATIENCE, future).await.map_err(|_| DeliveryError::TimedOut {
        destination: destination.to_owned(),
        action,
        limit: PATIENCE,
    })
}

/// The endpoint's addresses, at least one.
pub(crate) async fn resolve(
    destination: &str,
    endpoint: &Endpoint,
) -> Result<Vec<SocketAddr>, DeliveryError> {
    let host = endpoint.host.as_str();
    let found = in_time(destination, "to resolve its name", lookup_host((host, endpoint.port))).await?;
    let addresses = found.map(Iterator::collect::<Vec<_>>).and_then(|addresses| {
        if addresses.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(addresses) }
    });
    addresses.map_err(|source| DeliveryError::Resolve {
        destination: destination.to_owned(),
        host: host.to_owned(),
        source,
    })
}

/// A TCP connection to the first of the endpoint's addresses that takes one.
pub(crate) async fn connect(destination: &str, endpoint: &Endpoint) -> Result<TcpStream, DeliveryError> {
    let addresses = resolve(destination, endpoint).await?;
    let stream = in_time(destination, "to connect", TcpStream::connect(addresses.as_slice())).await?;
    stream.map_err(|source| DeliveryError::Connect { destination: destination.to_owned(), source })
}
