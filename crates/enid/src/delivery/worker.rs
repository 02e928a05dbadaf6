//! A flow log's worker.

use std::sync::Arc;
use std::time::Duration;

use enid_delivery::FlowLog;
use tokio::sync::watch;

use super::parcel::{self, Gathered, Part, Reach};
use super::way::Way;
use super::{Deliveries, Shared};
use crate::{EnidError, lock};

/// How long to wait before a delivery that failed is repeated: twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Delivers what is complete, for as long as it is not stopped.
pub(super) async fn work(deliveries: Arc<Deliveries>, line: Shared, mut stopped: watch::Receiver<bool>) {
    let (mut written, mut forced) = (deliveries.written.subscribe(), deliveries.forced.subscribe());
    let mut changed = deliveries.flow_logs.changed();
    let flow_log = Arc::clone(&line.flow_log);
    let mut worker = Work { deliveries, flow_log, line, way: None, begun: None };
    let mut pause = FIRST_PAUSE;
    loop {
        written.mark_unchanged();
        forced.mark_unchanged();
        changed.mark_unchanged();
        let step = tokio::select! {
            step = worker.step() => step,
            _ = stopped.wait_for(|stopped| *stopped) => return,
        };
        match step {
            Ok(true) => pause = FIRST_PAUSE,
            Ok(false) => tokio::select! {
                _ = written.changed() => {}
                _ = forced.changed() => {}
                // It may have ended.
                _ = changed.changed() => {}
                _ = stopped.wait_for(|stopped| *stopped) => return,
            },
            Err(error) => {
                worker.failed(&error, pause);
                tokio::select! {
                    () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
                    // Somebody waits: it may be worth another try.
                    _ = forced.changed() => {}
                    _ = stopped.wait_for(|stopped| *stopped) => return,
                }
            }
        }
    }
}

struct Work {
    deliveries: Arc<Deliveries>,
    flow_log: Arc<FlowLog>,
    line: Shared,
    way: Option<Way>,
    /// The parcel of which a part is delivered.
    begun: Option<Begun>,
}

/// A parcel that is delivered in part.
#[derive(Debug, Clone, Copy)]
struct Begun {
    /// The last batch before it.
    after: u64,
    next: Part,
    /// How many losses were said in it.
    said: usize,
    records: u64,
}

impl Work {
    /// Delivers the next part of a parcel; says whether there was one. The cursor moves with the last one.
    async fn step(&mut self) -> Result<bool, EnidError> {
        // Asked first: the last records of one that has ended are there already.
        let has_ended = self.deliveries.flow_logs.has_ended(self.flow_log.id);
        let Some(mut gathered) = self.gather(has_ended).await? else {
            self.line.progress.send_if_modified(|progress| progress.problem.take().is_some());
            if has_ended {
                self.deliveries.flow_logs.finish(&[self.flow_log.id])?;
            }
            return Ok(false);
        };
        let begun = self.begun.filter(|begun| begun.next == gathered.part);
        let lost: Vec<_> = lock(&self.line.cursor).skip_data().collect();
        let said = begun.map_or(lost.len(), |begun| begun.said);
        if begun.is_none() {
            for damage in &gathered.damage {
                tracing::error!(
                    flow_log = %self.flow_log.name, file = %damage.file.display(), damage.offset, damage.bytes,
                    records = damage.records, "a part of the spool can't be read, and is not delivered"
                );
            }
            gathered.records.extend(lost);
        }
        let way = match &mut self.way {
            Some(way) => way,
            way => way.insert(Way::open(&self.deliveries, &self.flow_log)?),
        };
        way.deliver(&gathered).await?;
        let records = begun.map_or(0, |begun| begun.records) + gathered.records.len() as u64;
        if let Some(next) = gathered.part.next() {
            self.begun = Some(Begun { after: gathered.after, next, said, records });
            return Ok(true);
        }
        self.begun = None;
        let mut cursor = lock(&self.line.cursor);
        cursor.advance(gathered.to, said);
        cursor.save(&self.deliveries.folder, self.flow_log.id)?;
        drop(cursor);
        self.line.progress.send_modify(|progress| {
            progress.delivered = progress.delivered.max(gathered.to);
            progress.records += records;
            progress.problem = None;
        });
        Ok(true)
    }

    /// Gathers the next part, and remembers that its parcel is on its way.
    async fn gather(&self, has_ended: bool) -> Result<Option<Gathered>, EnidError> {
        let (deliveries, flow_log, line) =
            (Arc::clone(&self.deliveries), Arc::clone(&self.flow_log), Arc::clone(&self.line));
        let begun = self.begun;
        let work = move || {
            let (after, exactly) = {
                let cursor = lock(&line.cursor);
                (cursor.delivered, cursor.delivering)
            };
            let written = *deliveries.written.borrow();
            let forced = if has_ended { written } else { *deliveries.forced.borrow() };
            let reach = Reach { after, written, forced, exactly };
            // If it was given up meanwhile, another one begins.
            let part = begun.filter(|begun| begun.after == after).map(|begun| begun.next);
            let Some(gathered) = parcel::gather(&deliveries.spool, &flow_log, reach, part)? else {
                return Ok(None);
            };
            let mut cursor = lock(&line.cursor);
            if cursor.delivered != after {
                // Given up meanwhile: what comes after it is gathered next.
                return Ok(Some(Gathered::nothing(after)));
            }
            cursor.delivering = Some(gathered.to);
            cursor.save(&deliveries.folder, flow_log.id)?;
            Ok(Some(gathered))
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| EnidError::Stopping)?
    }

    fn failed(&self, error: &EnidError, pause: Duration) {
        let is_new = self.line.progress.send_if_modified(|progress| {
            let problem = Some(error.to_string());
            let is_new = progress.problem != problem;
            progress.problem = problem;
            is_new
        });
        if is_new {
            tracing::warn!(
                %error, flow_log = %self.flow_log.name, destination = %self.flow_log.destination,
                "can't deliver records; they wait in the spool, next try in {} s", pause.as_secs()
            );
        }
    }
}
