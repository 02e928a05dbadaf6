//! Files in a directory.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::error::FlowLogError;
use crate::place::{Folder, PlacedFile};

/// Writes the file beside its place and renames it there: what is cut off in between leaves a hidden file that the
/// next attempt writes anew.
pub(crate) fn put(directory: &Path, key: &str, bytes: &[u8]) -> Result<(), FlowLogError> {
    let path = directory.join(key);
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(FlowLogError::io("write", &path)(ErrorKind::InvalidFilename.into()));
    };
    make_folders(folder)?;
    let partial = folder.join(format!(".{}.partial", name.display()));
    let written = write_synced(&partial, bytes)
        .and_then(|()| fs::rename(&partial, &path).map_err(FlowLogError::io("rename", &partial)))
        .and_then(|()| sync_folder(folder));
    if written.is_err() {
        // The error to report is the one that led here.
        let _ = fs::remove_file(&partial);
    }
    written
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), FlowLogError> {
    let mut file = File::create(path).map_err(FlowLogError::io("make", path))?;
    file.write_all(bytes).map_err(FlowLogError::io("write to", path))?;
    file.sync_all().map_err(FlowLogError::io("sync", path))
}

/// Makes the folders that are missing, each of them on disk before the next.
fn make_folders(folder: &Path) -> Result<(), FlowLogError> {
    let missing: Vec<_> = folder.ancestors().take_while(|folder| !folder.exists()).collect();
    for folder in missing.into_iter().rev() {
        match fs::create_dir(folder) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(FlowLogError::io("make the directory", folder)(error));
            }
            _ => folder.parent().map_or(Ok(()), sync_folder)?,
        }
    }
    Ok(())
}

fn sync_folder(folder: &Path) -> Result<(), FlowLogError> {
    // The parent of a relative path's first part.
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(FlowLogError::io("sync", folder))
}

/// Reads a part of a file.
pub(crate) fn read(path: &Path, range: Range<u64>) -> Result<Bytes, FlowLogError> {
    let file = File::open(path).map_err(FlowLogError::io("open", path))?;
    read_part(&file, range).map_err(FlowLogError::io("read", path))
}

/// Reads a part of an open file. The length is checked first: it may be a corrupt file's word.
pub(crate) fn read_part(file: &File, range: Range<u64>) -> std::io::Result<Bytes> {
    if range.end > file.metadata()?.len() || range.start > range.end {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    let length = usize::try_from(range.end - range.start).map_err(std::io::Error::other)?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, range.start)?;
    Ok(bytes.into())
}

/// What is in a folder. Links to folders are not followed, so that none is seen twice.
pub(crate) fn list(directory: &Path, folder: &str) -> Result<Folder, FlowLogError> {
    let path = directory.join(folder);
    let mut listed = Folder::default();
    let entries = match path.read_dir() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(listed),
        entries => entries.map_err(FlowLogError::io("list", &path))?,
    };
    for entry in entries {
        let entry = entry.map_err(FlowLogError::io("list", &path))?;
        // What is not text is no file of ours.
        let Some(name) = entry.file_name().to_str().map(ToOwned::to_owned) else { continue };
        let key = if folder.is_empty() { name } else { format!("{folder}/{name}") };
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            listed.folders.push(key);
        } else if let Ok(metadata) = fs::metadata(entry.path())
            && metadata.is_file()
        {
            // A file that is gone meanwhile was removed for its age.
            listed.files.push(PlacedFile { key, size: metadata.len() });
        }
    }
    Ok(listed)
}

/// Makes the directory and a file in it, and removes the file.
pub(crate) fn probe(directory: &Path) -> Result<(), FlowLogError> {
    make_folders(directory)?;
    let path: PathBuf = directory.join(format!(".probe-{:016x}", fastrand::u64(..)));
    write_synced(&path, b"")?;
    fs::remove_file(&path).map_err(FlowLogError::io("remove", &path))
}
