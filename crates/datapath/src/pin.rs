//! Pinned maps: what outlives the daemon.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::{fs, io};

use aya::maps::{MapInfo, MapType};
use enid_abi::map_name;

use crate::Datapath;
use crate::error::DatapathError;

const NAMES: [&str; 13] = [
    map_name::ENIS,
    map_name::LEDGERS,
    map_name::FLOWS,
    map_name::REFUSALS,
    map_name::FLOW_COUNTS,
    map_name::FLOWS_DELETED,
    map_name::FRAGMENTS,
    map_name::GROUPS,
    map_name::MEMBERS,
    map_name::LISTS,
    map_name::CLASSES,
    map_name::SOCKET_CLASSES,
    map_name::CLOCK,
];

/// What a map has to be for this daemon to use it.
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    pub(crate) map_type: MapType,
    pub(crate) key: usize,
    pub(crate) value: usize,
    pub(crate) capacity: u32,
}

impl Datapath {
    /// Removes all pins under a directory, and the directory. Maps live on while a program or a process uses them.
    /// Nothing happens if there are none.
    pub fn unpin(directory: &Path) -> Result<(), DatapathError> {
        let failed = |source| DatapathError::PinDirectory { path: directory.to_owned(), source };
        for name in NAMES {
            gone(fs::remove_file(directory.join(name))).map_err(failed)?;
        }
        gone(fs::remove_dir(directory)).map_err(failed)
    }
}

fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Makes the directory, on a BPF file system.
pub(crate) fn prepare(directory: &Path) -> Result<(), DatapathError> {
    const BPF_FS_MAGIC: i64 = 0xcafe_4a11;
    let failed = |source| DatapathError::PinDirectory { path: directory.to_owned(), source };
    fs::create_dir_all(directory).map_err(failed)?;
    let path = CString::new(directory.as_os_str().as_bytes()).map_err(|error| failed(error.into()))?;
    // SAFETY: all zeroes is a value of this structure.
    let mut statistics: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: the path ends with a zero, and the kernel writes the structure, for which there is room.
    if unsafe { libc::statfs(path.as_ptr(), &raw mut statistics) } != 0 {
        return Err(failed(io::Error::last_os_error()));
    }
    if statistics.f_type != BPF_FS_MAGIC {
        return Err(DatapathError::NotBpfFileSystem { path: directory.to_owned() });
    }
    Ok(())
}

/// Checks the map that is pinned there, if one is. Says whether there is one.
pub(crate) fn check(directory: &Path, shape: &Shape) -> Result<bool, DatapathError> {
    let path = directory.join(shape.name);
    let exists =
        path.try_exists().map_err(|source| DatapathError::PinDirectory { path: path.clone(), source })?;
    if !exists {
        return Ok(false);
    }
    let failed = |source| DatapathError::PinnedMap { path: path.clone(), source: Box::new(source) };
    let info = MapInfo::from_pin(&path).map_err(failed)?;
    let number = |size: usize| u32::try_from(size).unwrap_or(u32::MAX);
    let compared = [
        ("map type", info.map_type().map_err(failed)? as u32, shape.map_type as u32),
        ("key size", info.key_size(), number(shape.key)),
        ("value size", info.value_size(), number(shape.value)),
        ("capacity", info.max_entries(), shape.capacity),
    ];
    match compared.into_iter().find(|(_, found, expected)| found != expected) {
        None => Ok(true),
        Some((what, found, expected)) => Err(DatapathError::Incompatible { path, what, found, expected }),
    }
}
