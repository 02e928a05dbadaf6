//! DEL: takes a container's ENI away. It needs nothing but the container's id.

use crate::add::ETH0;
use crate::attachment::Attachment;
use crate::configuration::Configuration;
use crate::daemon::Daemon;
use crate::environment::Container;
use crate::error::CniError;

/// Deletes the container's task; where there is none it is deleted.
pub(crate) async fn delete(configuration: &Configuration, container: &Container) -> Result<(), CniError> {
    // No other was ever given.
    if container.interface != ETH0 {
        return Ok(());
    }
    let attachment = configuration.attachment(container);
    let mut daemon = Daemon::new(configuration);
    if daemon.delete(&attachment.task_name(), &attachment).await? {
        return Ok(());
    }
    // It may have had a name of its own.
    let tasks = daemon.tasks().await?;
    for task in tasks.iter().filter(|task| Attachment::of(task).as_ref() == Some(&attachment)) {
        daemon.delete(&task.name, &attachment).await?;
    }
    Ok(())
}
