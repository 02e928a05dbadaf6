//! What is wrong with a destination, said before anything is to be delivered to it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::destination::{Destination, Endpoint, Transport};
use crate::error::DeliveryError;
use crate::net;
use crate::{ipfix, otlp};

/// Tries what can be tried of a destination without delivering anything.
///
/// A directory is made if it is not there, and written. A collector's name must resolve; over TCP it must take a
/// connection, over HTTP answer a request without records. Over UDP nobody can tell whether a collector listens. Of a
/// bucket, the store's endpoint must take a connection if it is named: whether the bucket and the credentials are
/// right is the store's to say, and so its client's to ask.
///
/// # Errors
/// What is wrong.
pub async fn probe(destination: &Destination) -> Result<(), DeliveryError> {
    let name = destination.to_string();
    match destination {
        Destination::Directory(path) => probe_directory(path.clone()).await,
        Destination::Bucket { endpoint, .. } => match endpoint.as_deref().and_then(address_of) {
            Some(endpoint) => net::connect(&name, &endpoint).await.map(drop),
            None => Ok(()),
        },
        Destination::Ipfix(Transport::Udp, endpoint) => ipfix::probe_udp(&name, endpoint).await,
        Destination::Ipfix(Transport::Tcp, endpoint) => net::connect(&name, endpoint).await.map(drop),
        Destination::Otlp(address) => otlp::probe(address).await,
    }
}

/// The host and port of a URL.
fn address_of(url: &str) -> Option<Endpoint> {
    let url = reqwest::Url::parse(url).ok()?;
    let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
    Some(Endpoint { host, port: url.port_or_known_default()? })
}

async fn probe_directory(path: PathBuf) -> Result<(), DeliveryError> {
    let shown = path.clone();
    // A directory may be on a file system that is far away.
    let tried = tokio::task::spawn_blocking(move || try_directory(&path)).await;
    tried
        .unwrap_or_else(|panicked| Err(("try the directory", io::Error::other(panicked))))
        .map_err(|(action, source)| DeliveryError::Directory { action, path: shown, source })
}

/// Makes the directory if need be, and a file in it for a moment.
fn try_directory(path: &Path) -> Result<(), (&'static str, io::Error)> {
    fs::create_dir_all(path).map_err(|error| ("make the directory", error))?;
    let file = path.join(format!(".enid-probe-{}", std::process::id()));
    File::create(&file).map_err(|error| ("write in the directory", error))?;
    fs::remove_file(&file).map_err(|error| ("remove what was written", error))
}
