//! One daemon to a host: its devices have fixed names and indexes, and its programs count for whoever opened their maps.

use std::fs::{self, File};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use crate::EnidError;

/// Held by the one that works in this network namespace and with these pinned maps; gone with its process, however
/// that ends.
#[derive(Debug)]
pub(crate) struct Sole {
    /// An abstract socket's name is taken in its network namespace alone (unix(7)).
    _namespace: UnixListener,
    _pins: File,
}

impl Sole {
    /// Claims the calling thread's network namespace, and the folder of pinned maps, which is made if it is not there.
    ///
    /// # Errors
    /// Another has claimed either.
    pub(crate) fn claim(pins: &Path) -> Result<Self, EnidError> {
        let name =
            SocketAddr::from_abstract_name("enid").map_err(EnidError::file("name the claim on", pins))?;
        let namespace = UnixListener::bind_addr(&name)
            .map_err(|_| EnidError::Claimed("this network namespace".to_owned()))?;
        fs::create_dir_all(pins).map_err(EnidError::file("create", pins))?;
        let folder = File::open(pins).map_err(EnidError::file("open", pins))?;
        flock(&folder, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| EnidError::Claimed(format!("the folder of pinned maps {}", pins.display())))?;
        Ok(Self { _namespace: namespace, _pins: folder })
    }
}
