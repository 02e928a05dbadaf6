//! What every command shares: where the daemon is, and how to print.

use std::path::{Path, PathBuf};

use enid_api::Client;
use tokio::runtime::Builder;

use crate::failure::Failure;
use crate::output::Format;

/// The global options.
#[derive(Debug)]
pub(crate) struct Session {
    /// The daemon's socket.
    pub(crate) socket: PathBuf,
    /// How to print.
    pub(crate) format: Format,
}

impl Session {
    /// Connects to the daemon and gives the client to `conversation`. Nothing of the runtime is left when this
    /// returns: the process has one thread before and after.
    pub(crate) fn talk<T>(
        &self,
        conversation: impl AsyncFnOnce(Client) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(Failure::Runtime)?;
        runtime.block_on(async { conversation(Client::connect(&self.socket).await?).await })
    }
}

/// The path as the daemon, whose working directory is another, must be told it.
pub(crate) fn absolute(path: &Path) -> Result<String, Failure> {
    let refuse = |reason: String| Failure::Path { path: path.to_owned(), reason };
    let absolute = std::path::absolute(path).map_err(|error| refuse(error.to_string()))?;
    absolute.into_os_string().into_string().map_err(|_| refuse("it is not UTF-8".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn relative_paths_become_absolute() {
        assert_eq!(absolute(Path::new("/run/netns/web")).unwrap(), "/run/netns/web");
        let here = std::env::current_dir().unwrap();
        assert_eq!(absolute(Path::new("web")).unwrap(), here.join("web").to_str().unwrap());
        assert!(absolute(Path::new(OsStr::from_bytes(b"/\xff"))).is_err());
    }
}
