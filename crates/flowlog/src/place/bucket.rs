//! Objects in a bucket of S3, or of what speaks like it.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{ClientOptions, ObjectStore, ObjectStoreExt as _, RetryConfig};

use crate::error::FlowLogError;
use crate::place::{Folder, PlacedFile};

/// A store that does not even take the connection is down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The largest file over a slow line.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);
/// Who delivers repeats it for longer than this, and says so.
const RETRIES: usize = 2;
const RETRY_TIMEOUT: Duration = Duration::from_secs(10);

/// Where a bucket is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BucketAddress {
    /// The bucket's name.
    pub bucket: String,
    /// What all keys begin with; maybe empty, and without `/` at either end.
    pub prefix: String,
    /// The store's address where it is not AWS: `http://127.0.0.1:9000`.
    pub endpoint: Option<String>,
    /// The region; that of the environment without it.
    pub region: Option<String>,
}

/// What is below a prefix of a bucket.
#[derive(Debug, Clone)]
pub struct Bucket {
    store: Arc<AmazonS3>,
    bucket: String,
    prefix: String,
}

impl Bucket {
    /// The bucket at the address. The credentials are those of the environment as AWS has it: `AWS_ACCESS_KEY_ID`,
    /// `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, a web identity or a container's, else the instance's. Nothing is
    /// asked of the store yet: see [`Place::probe`](crate::Place::probe).
    pub fn new(address: &BucketAddress) -> Result<Self, FlowLogError> {
        // An error says that the process has chosen one already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = AmazonS3Builder::from_env().with_bucket_name(&address.bucket);
        if let Some(endpoint) = &address.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        if let Some(region) = &address.region {
            builder = builder.with_region(region);
        }
        let mut options =
            ClientOptions::new().with_connect_timeout(CONNECT_TIMEOUT).with_timeout(REQUEST_TIMEOUT);
        if address.endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://")) {
            options = options.with_allow_http(true);
        }
        let retry =
            RetryConfig { max_retries: RETRIES, retry_timeout: RETRY_TIMEOUT, ..RetryConfig::default() };
        let store = builder.with_client_options(options).with_retry(retry).build();
        let (bucket, prefix) = (address.bucket.clone(), address.prefix.clone());
        match store {
            Ok(store) => Ok(Self { store: Arc::new(store), bucket, prefix }),
            Err(source) => Err(FlowLogError::Object {
                action: "use",
                object: format!("s3://{bucket}"),
                source: Box::new(source),
            }),
        }
    }

    /// What messages call the object of this key.
    pub(crate) fn name(&self, key: &str) -> String {
        if key.is_empty() { self.to_string() } else { format!("{self}/{key}") }
    }

    fn error(&self, action: &'static str, key: &str) -> impl FnOnce(object_store::Error) -> FlowLogError {
        let object = self.name(key);
        move |source| FlowLogError::Object { action, object, source: Box::new(source) }
    }

    fn path(&self, action: &'static str, key: &str) -> Result<Path, FlowLogError> {
        let path = [&*self.prefix, key]
            .iter()
            .filter(|part| !part.is_empty())
            .copied()
            .collect::<Vec<_>>()
            .join("/");
        Path::parse(path).map_err(|error| self.error(action, key)(error.into()))
    }

    /// One request, so that the store shows the object whole or not at all.
    pub(crate) async fn put(&self, key: &str, bytes: Bytes) -> Result<(), FlowLogError> {
        let path = self.path("write", key)?;
        self.store.put(&path, bytes.into()).await.map(drop).map_err(self.error("write", key))
    }

    pub(crate) async fn read(&self, key: &str, range: Range<u64>) -> Result<Bytes, FlowLogError> {
        let path = self.path("read", key)?;
        if range.is_empty() {
            // No request can ask for nothing.
            return Ok(Bytes::new());
        }
        let bytes = self.store.get_range(&path, range.clone()).await.map_err(self.error("read", key))?;
        if bytes.len() as u64 == range.end - range.start {
            Ok(bytes)
        } else {
            let source = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
            Err(FlowLogError::Io { action: "read", path: self.name(key).into(), source })
        }
    }

    /// The parts of an object, those that are near to each other by one request.
    pub(crate) async fn read_parts(
        &self,
        key: &str,
        ranges: &[Range<u64>],
    ) -> Result<Vec<Bytes>, FlowLogError> {
        let path = self.path("read", key)?;
        self.store.get_ranges(&path, ranges).await.map_err(self.error("read", key))
    }

    pub(crate) async fn list(&self, folder: &str) -> Result<Folder, FlowLogError> {
        let path = self.path("list", folder)?;
        let prefix = (!path.as_ref().is_empty()).then_some(&path);
        let listed = self.store.list_with_delimiter(prefix).await.map_err(self.error("list", folder))?;
        let key = |path: &Path| {
            let path = path.as_ref();
            path.strip_prefix(&*self.prefix).unwrap_or(path).trim_start_matches('/').to_owned()
        };
        let folders = listed.common_prefixes.iter().map(key).collect();
        let files = listed
            .objects
            .iter()
            .map(|file| PlacedFile { key: key(&file.location), size: file.size })
            .collect();
        Ok(Folder { folders, files })
    }

    pub(crate) async fn probe(&self) -> Result<(), FlowLogError> {
        let key = format!(".probe-{:016x}", fastrand::u64(..));
        self.put(&key, Bytes::new()).await?;
        let path = self.path("remove", &key)?;
        // Those who may only add need not be able to remove: an empty object that readers pass over stays, then.
        let _ = self.store.delete(&path).await;
        Ok(())
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}", self.bucket)?;
        if self.prefix.is_empty() { Ok(()) } else { write!(f, "/{}", self.prefix) }
    }
}
