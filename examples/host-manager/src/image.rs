//! Pulling an image: the part of the OCI distribution specification (1.1, "Pull") that it takes, over the task's ENI.

use std::fmt::Write as _;

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use enid_api::dial::{Connector, Dialer};
use http_body_util::{BodyExt as _, Empty};
use hyper::{Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::fs;
use tokio::process::Command;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A registry that speaks HTTP; for HTTPS the connector is wrapped in one of TLS.
pub(crate) struct Registry {
    client: Client<Connector, Empty<Bytes>>,
    address: String,
    login: String,
}

/// An image that is on this host, as an archive of an OCI image layout.
pub(crate) struct Pulled {
    /// As containerd is to call it.
    pub(crate) name: String,
    pub(crate) layers: usize,
    /// Of configuration and layers.
    pub(crate) bytes: usize,
    pub(crate) archive: std::path::PathBuf,
    /// Holds the archive.
    _folder: TempDir,
}

#[derive(Deserialize)]
struct Manifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: String,
    size: usize,
}

impl Registry {
    /// `login` is what goes behind `Basic`.
    pub(crate) fn new(address: &str, login: String, dialer: Dialer) -> Self {
        let client = Client::builder(TokioExecutor::new()).build(Connector::new(dialer));
        Self { client, address: address.to_owned(), login }
    }

    /// Pulls `name:tag`.
    pub(crate) async fn pull(&self, image: &str) -> anyhow::Result<Pulled> {
        let (name, tag) = image.split_once(':').unwrap_or((image, "latest"));
        let folder = tempfile::tempdir()?;
        let layout = folder.path().join("layout");
        let blobs = layout.join("blobs/sha256");
        fs::create_dir_all(&blobs).await?;

        let text = self.get(&format!("{name}/manifests/{tag}")).await?;
        let manifest: Manifest = serde_json::from_slice(&text).context("the manifest")?;
        let digest = digest(&text);
        fs::write(blobs.join(&digest), &text).await?;
        let mut bytes = 0;
        for Descriptor { digest: wanted, size } in manifest.layers.iter().chain([&manifest.config]) {
            let blob = self.get(&format!("{name}/blobs/{wanted}")).await?;
            let found = self::digest(&blob);
            ensure!(*wanted == format!("sha256:{found}") && blob.len() == *size, "{wanted} is another blob");
            fs::write(blobs.join(found), &blob).await?;
            bytes += size;
        }
        let full_name = format!("{}/{name}:{tag}", self.address);
        let index = serde_json::json!({
            "schemaVersion": 2,
            "manifests": [{
                "mediaType": MANIFEST,
                "digest": format!("sha256:{digest}"),
                "size": text.len(),
                "annotations": { "io.containerd.image.name": full_name },
            }],
        });
        fs::write(layout.join("index.json"), index.to_string()).await?;
        fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).await?;
        let archive = folder.path().join("image.tar");
        let packed =
            Command::new("tar").arg("-C").arg(&layout).arg("-cf").arg(&archive).arg(".").status().await?;
        ensure!(packed.success(), "tar failed");
        Ok(Pulled { name: full_name, layers: manifest.layers.len(), bytes, archive, _folder: folder })
    }

    async fn get(&self, path: &str) -> anyhow::Result<Bytes> {
        let request = Request::get(format!("http://{}/v2/{path}", self.address))
            .header("accept", MANIFEST)
            .header("authorization", format!("Basic {}", self.login))
            .body(Empty::new())?;
        let response = self.client.request(request).await.with_context(|| format!("get {path}"))?;
        if response.status() != StatusCode::OK {
            bail!("get {path}: the registry answers {}", response.status());
        }
        Ok(response.into_body().collect().await?.to_bytes())
    }
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
