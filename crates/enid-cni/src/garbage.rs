//! GC: takes away the ENIs of containers that the runtime does not know any more.

use crate::attachment::{Attachment, stale};
use crate::configuration::Configuration;
use crate::daemon::Daemon;
use crate::error::{CniError, Code};

/// Deletes the network's tasks that are of none of the valid containers. It goes on past errors and reports them all.
pub(crate) async fn collect(configuration: &Configuration) -> Result<(), CniError> {
    let valid = configuration.valid_attachments()?;
    let mut daemon = Daemon::new(configuration);
    let tasks = daemon.tasks().await?;
    let (mut failed, mut problems) = (0, Vec::new());
    for task in stale(&tasks, &configuration.name, &valid) {
        // Stale tasks have one.
        let Some(attachment) = Attachment::of(task) else { continue };
        if let Err(error) = daemon.delete(&task.name, &attachment).await {
            failed += 1;
            problems.push(error.to_string());
        }
    }
    if failed == 0 {
        return Ok(());
    }
    Err(CniError::new(Code::Incomplete, format!("{failed} tasks could not be deleted"), problems.join("; ")))
}
