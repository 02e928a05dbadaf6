//! Work ahead of tasks to come, when nobody is in a hurry.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::lock;
use crate::tasks::Tasks;

/// How long nobody must have created a task before more is made ready: a burst needs the kernel's locks for itself.
const PAUSE: Duration = Duration::from_millis(10);
/// How often it is looked at whether something is wanted, though no task was created.
const LOOK: Duration = Duration::from_secs(1);

/// Rung by whoever creates a task.
#[derive(Debug)]
pub(crate) struct Bell {
    last: Mutex<Instant>,
    rung: Notify,
}

impl Bell {
    /// One that was rung just now.
    pub(crate) fn new() -> Self {
        Self { last: Mutex::new(Instant::now()), rung: Notify::new() }
    }

    /// Says that a task is being created, or has been.
    pub(crate) fn ring(&self) {
        *lock(&self.last) = Instant::now();
        self.rung.notify_one();
    }

    /// How long it is since it was rung.
    fn silence(&self) -> Duration {
        lock(&self.last).elapsed()
    }
}

/// Makes ready what is wanted, one thing at a time, whenever it is quiet.
pub(crate) async fn run(tasks: Arc<Tasks>) {
    loop {
        let silence = tasks.bell.silence();
        if silence < PAUSE || tasks.stages.create.is_busy() {
            tokio::time::sleep(PAUSE.saturating_sub(silence).max(Duration::from_millis(1))).await;
            continue;
        }
        let own = Arc::clone(&tasks);
        let rest = match tokio::task::spawn_blocking(move || own.prepare_one()).await {
            Ok(Ok(true)) => continue,
            Ok(Ok(false)) => LOOK,
            Ok(Err(error)) => {
                tracing::warn!(%error, "nothing could be made ready for tasks to come");
                LOOK
            }
            Err(error) => {
                tracing::error!(%error, "making things ready for tasks to come failed");
                return;
            }
        };
        // Whoever rings has taken something.
        let _ = tokio::time::timeout(rest, tasks.bell.rung.notified()).await;
    }
}
