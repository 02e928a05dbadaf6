//! Whether a destination takes records, asked before a flow log is created.

use std::io::Write as _;
use std::path::Path;

use enid_delivery::Destination;
use enid_flowlog::FlowLogId;

use crate::EnidError;

/// Says what is wrong with a destination, as far as that can be known before the first delivery.
pub(crate) async fn probe(destination: &Destination) -> Result<(), EnidError> {
    let Destination::Directory(path) = destination else { return Ok(()) };
    let path = path.clone();
    let tried = tokio::task::spawn_blocking(move || {
        let tried = try_directory(&path);
        tried.map_err(|error| EnidError::Destination {
            destination: path.display().to_string(),
            reason: error.to_string(),
        })
    });
    tried.await.map_err(|_| EnidError::Stopping)?
}

/// Makes a directory if there is none, and a file in it, which goes again.
fn try_directory(path: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(path)?;
    let file = path.join(format!(".enid-{}", FlowLogId::random()));
    let written = std::fs::File::create_new(&file).and_then(|mut file| file.write_all(b"enid\n"));
    let removed = std::fs::remove_file(&file);
    written.and(removed)
}
