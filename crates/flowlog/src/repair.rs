//! Putting files right after a crash: what follows the last line's end is cut off.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::error::FlowLogError;
use crate::file_name::{FileKind, FileName};

/// What was cut off from the files of a directory when it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Repaired {
    /// The files that ended within a line.
    pub files: usize,
    /// The bytes that were dropped.
    pub bytes: u64,
}

/// The flow log files of a directory, with their paths, in the order of their slots. Other files are passed over.
pub(crate) fn flow_log_files(directory: &Path) -> Result<Vec<(FileName, PathBuf)>, FlowLogError> {
    let list = || FlowLogError::io("list", directory);
    let mut files = Vec::new();
    for entry in directory.read_dir().map_err(list())? {
        let entry = entry.map_err(list())?;
        let name = entry.file_name().to_str().and_then(FileName::parse);
        if let Some(name) = name.filter(|name| name.kind() == FileKind::Text) {
            files.push((name, entry.path()));
        }
    }
    files.sort();
    Ok(files)
}

/// Cuts torn last lines off the files. A file that another process writes to is left alone.
pub(crate) fn repair(files: impl IntoIterator<Item = PathBuf>) -> Result<Repaired, FlowLogError> {
    let mut repaired = Repaired::default();
    for path in files {
        let file =
            OpenOptions::new().read(true).write(true).open(&path).map_err(FlowLogError::io("open", &path))?;
        match lock(&file, &path) {
            Ok(()) => {}
            Err(FlowLogError::Locked { .. }) => continue,
            Err(error) => return Err(error),
        }
        let dropped = cut_torn_line(&file, &path)?;
        repaired.bytes += dropped;
        repaired.files += usize::from(dropped > 0);
    }
    Ok(repaired)
}

/// Keeps other writers away from the file for as long as it is open.
pub(crate) fn lock(file: &File, path: &Path) -> Result<(), FlowLogError> {
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => FlowLogError::Locked { file: path.to_owned() },
        TryLockError::Error(source) => FlowLogError::io("lock", path)(source),
    })
}

/// Cuts off what follows the last line's end; returns how many bytes that was.
pub(crate) fn cut_torn_line(file: &File, path: &Path) -> Result<u64, FlowLogError> {
    const CHUNK: u64 = 16 * 1024;
    let length = file.metadata().map_err(FlowLogError::io("examine", path))?.len();
    let mut keep = length;
    let mut buffer = Vec::new();
    while keep > 0 {
        let from = keep.saturating_sub(CHUNK);
        buffer.resize(usize::try_from(keep - from).unwrap_or_default(), 0);
        file.read_exact_at(&mut buffer, from).map_err(FlowLogError::io("read", path))?;
        match buffer.iter().rposition(|byte| *byte == b'\n') {
            Some(index) => {
                keep = from + index as u64 + 1;
                break;
            }
            None => keep = from,
        }
    }
    if keep < length {
        file.set_len(keep).map_err(FlowLogError::io("truncate", path))?;
    }
    Ok(length - keep)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_the_last_line_is_cut_off() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let long = "x".repeat(100_000);
        for (before, after) in [
            ("", ""),
            ("a\n", "a\n"),
            ("a\nb", "a\n"),
            ("a\n\n", "a\n\n"),
            ("torn", ""),
            (&format!("a\n{long}"), "a\n"),
            (&long, ""),
            (&format!("a\n\0\0\0{long}"), "a\n"),
        ] {
            std::fs::write(&path, before).unwrap();
            let repaired = repair([path.clone()]).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), after);
            assert_eq!(repaired.bytes, (before.len() - after.len()) as u64);
            assert_eq!(repaired.files, usize::from(before != after));
        }
    }

    #[test]
    fn a_file_that_is_being_written_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, "torn").unwrap();
        let writer = OpenOptions::new().append(true).open(&path).unwrap();
        lock(&writer, &path).unwrap();
        assert_eq!(repair([path.clone()]).unwrap(), Repaired::default());
        drop(writer);
        assert_eq!(repair([path]).unwrap(), Repaired { files: 1, bytes: 4 });
    }
}
