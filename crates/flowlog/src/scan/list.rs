//! Which files of a place can hold what is wanted.

use std::fs::{self, File};
use std::path::Path;

use futures_util::{StreamExt as _, stream};
use tokio::runtime::Handle;

use crate::error::FlowLogError;
use crate::file_name::{FileKind, FileName};
use crate::files::folder_time;
use crate::filter::Filter;
use crate::place::{Bucket, Folder, PlacedFile, list_directory, read_part};
use crate::scan::Query;

/// How many folders of a bucket are listed at once.
const LISTS_AT_ONCE: usize = 16;

/// A file that is to be read.
#[derive(Debug, Clone)]
pub(crate) struct ScanFile {
    pub(crate) key: String,
    pub(crate) size: u64,
    pub(crate) kind: FileKind,
}

/// The files to read, in the order of their slots, and the folders that could not be listed.
#[derive(Debug, Default)]
pub(crate) struct Listed {
    pub(crate) files: Vec<ScanFile>,
    pub(crate) errors: Vec<FlowLogError>,
}

/// The files in a directory and the folders below it.
pub(crate) fn directory(path: &Path, query: &Query) -> Listed {
    descend(query, |folders| folders.iter().map(|folder| list_directory(path, folder)).collect())
}

/// The objects of a bucket.
pub(crate) fn bucket(bucket: &Bucket, runtime: &Handle, query: &Query) -> Listed {
    descend(query, |folders| {
        let lists = stream::iter(folders).map(|folder| bucket.list(folder)).buffered(LISTS_AT_ONCE);
        runtime.block_on(lists.collect())
    })
}

/// One file, whatever its name. What it is, its first bytes tell.
pub(crate) fn file(path: &Path, key: String) -> Result<Listed, FlowLogError> {
    let error = || FlowLogError::io("read", path);
    let size = fs::metadata(path).map_err(error())?.len();
    let file = File::open(path).map_err(error())?;
    let begin = read_part(&file, 0..size.min(4)).map_err(error())?;
    let kind = match &*begin {
        b"PAR1" => FileKind::Parquet,
        [0x1f, 0x8b, ..] => FileKind::Gzip,
        _ => FileKind::Text,
    };
    let files = vec![ScanFile { key, size, kind }];
    Ok(Listed { files, errors: Vec::new() })
}

/// Goes down folder by folder, past those whose path says that they are of another time.
fn descend(query: &Query, list: impl Fn(&[String]) -> Vec<Result<Folder, FlowLogError>>) -> Listed {
    let filter = &query.filter;
    let mut level = vec![String::new()];
    let mut found = Vec::new();
    let mut errors = Vec::new();
    while !level.is_empty() {
        let mut next = Vec::new();
        for folder in list(&level) {
            match folder {
                Ok(Folder { folders, files }) => {
                    next.extend(folders.into_iter().filter(|path| may_hold(path, filter)));
                    found.extend(files.into_iter().filter_map(|file| Some((name(&file)?, file))));
                }
                Err(error) => errors.push(error),
            }
        }
        level = next;
    }
    found.retain(|(name, _)| query.flow_log.is_none_or(|id| id == name.id()));
    found.sort();
    let files = found.into_iter().filter(|(name, _)| name.overlaps(filter.since, filter.until));
    let files = files.map(|(name, PlacedFile { key, size })| ScanFile { key, size, kind: name.kind() });
    Listed { files: files.collect(), errors }
}

fn name(file: &PlacedFile) -> Option<FileName> {
    FileName::parse(file.key.rsplit('/').next()?)
}

fn may_hold(folder: &str, filter: &Filter) -> bool {
    folder_time(folder).is_none_or(|time| {
        filter.since.is_none_or(|since| since < time.end)
            && filter.until.is_none_or(|until| time.start < until)
    })
}
