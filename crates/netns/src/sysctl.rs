//! Kernel parameters under `/proc/sys/net`, which show and set those of the calling thread's namespace.

use std::fs;
use std::path::{Path, PathBuf};

use crate::NetnsError;

fn path_of(key: &str) -> PathBuf {
    Path::new("/proc/sys/net").join(key)
}

/// Sets a parameter of the calling thread's namespace. `key` is the path below `/proc/sys/net`, with slashes, as
/// interface names may hold dots: `ipv6/conf/eth0/accept_ra`.
///
/// # Errors
/// The kernel has no such parameter, or refuses the value.
pub fn set(key: &str, value: &str) -> Result<(), NetnsError> {
    let path = path_of(key);
    // Opened without O_CREAT or O_TRUNC, so that a missing parameter says "not found" and not "permission denied".
    let mut file = fs::OpenOptions::new().write(true).open(&path).map_err(NetnsError::file("open", &path))?;
    std::io::Write::write_all(&mut file, value.as_bytes()).map_err(NetnsError::file("write", &path))
}

/// Reads a parameter of the calling thread's namespace, without the newline.
///
/// # Errors
/// The kernel has no such parameter.
pub fn get(key: &str) -> Result<String, NetnsError> {
    let path = path_of(key);
    let text = fs::read_to_string(&path).map_err(NetnsError::file("read", &path))?;
    Ok(text.trim_end().to_owned())
}
