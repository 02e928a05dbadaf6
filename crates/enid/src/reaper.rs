//! The reaper: takes away what deleted tasks left behind, many at once.
//!
//! Deleting a link costs an RCU grace period however many go with it (16 ms measured for one), so a delete only stops
//! the traffic and answers, and the links that have gathered in the meantime go together.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use enid_model::{EniId, EniNumber, VpcId};
use enid_store::TaskRecord;
use tokio::sync::mpsc;

use crate::EnidError;
use crate::eni;
use crate::run::Runs;
use crate::tasks::Tasks;

/// How long deleted links gather before they go: short enough that a device is gone within a second, long enough that
/// a burst of deletes pays few grace periods.
const GATHER: Duration = Duration::from_millis(100);
/// How long until something that could not be taken away is tried again, the first time; then twice as long each time…
const RETRY: Duration = Duration::from_secs(1);
/// …and at the most. A command may run in a deleted task's cgroup for days.
const LONGEST_RETRY: Duration = Duration::from_mins(1);

/// Takes away what comes in, until the senders are gone.
pub(crate) async fn run(
    tasks: Arc<Tasks>,
    runs: Arc<Runs>,
    mut deleted: mpsc::UnboundedReceiver<TaskRecord>,
) {
    let mut waiting: Vec<TaskRecord> = Vec::new();
    let mut retry = RETRY;
    loop {
        let next = if waiting.is_empty() {
            retry = RETRY;
            Ok(deleted.recv().await)
        } else {
            tokio::time::timeout(retry, deleted.recv()).await
        };
        match next {
            Ok(Some(record)) => {
                waiting.push(record);
                tokio::time::sleep(GATHER).await;
            }
            Ok(None) => return,
            Err(_) => retry = (retry * 2).min(LONGEST_RETRY),
        }
        while let Ok(record) = deleted.try_recv() {
            waiting.push(record);
        }
        let (tasks, runs) = (Arc::clone(&tasks), Arc::clone(&runs));
        let batch = std::mem::take(&mut waiting);
        match tokio::task::spawn_blocking(move || reap(&tasks, &runs, batch)).await {
            Ok(again) => waiting = again,
            Err(error) => tracing::error!(%error, "the reaper failed; a later daemon takes up what is left"),
        }
    }
}

/// Takes away what it can of the tasks, and gives back those of which something is left.
pub(crate) fn reap(tasks: &Tasks, runs: &Runs, batch: Vec<TaskRecord>) -> Vec<TaskRecord> {
    let vpcs: HashSet<VpcId> = batch.iter().map(|record| record.task.eni.vpc).collect();
    for vpc in vpcs {
        let Some(router) = tasks.routers.get(vpc) else { continue };
        let _turn = tasks.stages.link.enter_blocking();
        if let Err(error) = eni::delete_marked(&router) {
            tracing::error!(%vpc, %error, "deleted links could not be taken away; trying again");
            return batch;
        }
    }
    // Nothing of these ENIs can count any more: what they counted is final.
    let numbers: Vec<EniNumber> = batch.iter().map(|record| record.task.eni.number).collect();
    if let Err(error) = tasks.accounting.retire(&numbers) {
        tracing::error!(%error, "the last records of deleted ENIs could not be written; trying again");
        return batch;
    }
    if let Err(error) = end_flow_logs(tasks, &batch) {
        tracing::error!(%error, "the flow logs of deleted ENIs could not be ended; trying again");
        return batch;
    }
    let (mut done, mut again) = (Vec::new(), Vec::new());
    for record in batch {
        match remove_rest(tasks, runs, &record) {
            Ok(()) => done.push(record),
            Err(error) => {
                tracing::warn!(task = %record.task.name, eni = %record.task.eni.id, %error, "a deleted task left something behind; trying again");
                again.push(record);
            }
        }
    }
    let numbers: Vec<EniNumber> = done.iter().map(|record| record.task.eni.number).collect();
    if let Err(error) = tasks.store.remove_tasks(&numbers) {
        tracing::error!(%error, "deleted tasks could not be forgotten; trying again");
        again.extend(done);
        return again;
    }
    tasks.reaped(&numbers);
    again
}

/// Ends the flow logs of ENIs whose last records are made.
fn end_flow_logs(tasks: &Tasks, batch: &[TaskRecord]) -> Result<(), EnidError> {
    let gone: HashSet<EniId> = batch.iter().map(|record| record.task.eni.id).collect();
    tasks.flow_logs.end(|eni| gone.contains(&eni)).map(drop)
}

fn remove_rest(tasks: &Tasks, runs: &Runs, record: &TaskRecord) -> Result<(), EnidError> {
    tasks.datapath.remove_eni(record.task.eni.number)?;
    runs.remove(&record.task)
}
