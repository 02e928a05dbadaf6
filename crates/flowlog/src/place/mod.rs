//! Where files are put and read from: a directory, or a bucket of an object store.

mod bucket;
mod directory;

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::error::FlowLogError;

pub use bucket::{Bucket, BucketAddress};

/// A directory or a bucket. Keys are paths in it, with `/` between folders and none at either end.
///
/// A file is whole or not there: it takes its name only when all of it is stored.
#[derive(Debug, Clone)]
pub enum Place {
    /// A directory of this host; it is made where it is not there.
    Directory(PathBuf),
    /// A bucket, or what is below a prefix in it.
    Bucket(Bucket),
}

/// A file of a place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlacedFile {
    /// The key.
    pub key: String,
    /// The length in bytes.
    pub size: u64,
}

/// What is in a folder.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Folder {
    /// The paths of the folders in it.
    pub folders: Vec<String>,
    /// The files in it.
    pub files: Vec<PlacedFile>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => path.display().fmt(f),
            Self::Bucket(bucket) => bucket.fmt(f),
        }
    }
}

impl Place {
    /// What messages call the file of this key.
    pub fn name(&self, key: &str) -> PathBuf {
        match self {
            Self::Directory(path) => path.join(key),
            Self::Bucket(bucket) => PathBuf::from(bucket.name(key)),
        }
    }

    /// Stores a file under the key, in place of one that may be there. Once it returns, the file outlives a power cut.
    pub async fn put(&self, key: &str, bytes: Bytes) -> Result<(), FlowLogError> {
        match self {
            Self::Directory(path) => {
                let (path, key) = (path.clone(), key.to_owned());
                blocking(move || directory::put(&path, &key, &bytes)).await
            }
            Self::Bucket(bucket) => bucket.put(key, bytes).await,
        }
    }

    /// Reads a part of a file: fewer bytes than asked for are an error.
    pub async fn read(&self, key: &str, range: Range<u64>) -> Result<Bytes, FlowLogError> {
        match self {
            Self::Directory(path) => {
                let path = path.join(key);
                blocking(move || directory::read(&path, range)).await
            }
            Self::Bucket(bucket) => bucket.read(key, range).await,
        }
    }

    /// What is in a folder; the whole place for an empty path. What is not there is empty.
    pub async fn list(&self, folder: &str) -> Result<Folder, FlowLogError> {
        match self {
            Self::Directory(path) => {
                let (path, folder) = (path.clone(), folder.to_owned());
                blocking(move || directory::list(&path, &folder)).await
            }
            Self::Bucket(bucket) => bucket.list(folder).await,
        }
    }

    /// Finds out whether files can be put here, by putting an empty one and taking it away.
    pub async fn probe(&self) -> Result<(), FlowLogError> {
        match self {
            Self::Directory(path) => {
                let path = path.clone();
                blocking(move || directory::probe(&path)).await
            }
            Self::Bucket(bucket) => bucket.probe().await,
        }
    }
}

/// Runs what waits for a disk where it holds up nobody.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FlowLogError> + Send + 'static,
) -> Result<T, FlowLogError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(FlowLogError::io("use", Path::new("the disk"))(std::io::Error::other(error))),
    }
}

pub(crate) use directory::{list as list_directory, read_part};

#[cfg(test)]
mod tests;
