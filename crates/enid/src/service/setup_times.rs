//! Where creates and deletes spend their time, as messages.

use enid_api::v1::{self, SetupTimesResponse};

use crate::admission::{StageReading, Times};
use crate::tasks::Tasks;

/// The stages, and what is ready.
pub(super) fn message(tasks: &Tasks) -> SetupTimesResponse {
    SetupTimesResponse {
        stages: tasks.stages.all().map(|stage| self::stage(&stage.read())).into(),
        prepared_slots: prepared_slots(tasks),
    }
}

fn stage(reading: &StageReading) -> v1::SetupStage {
    v1::SetupStage {
        stage: reading.name.to_owned(),
        limit: reading.limit,
        running: reading.running,
        waiting: reading.waiting,
        admitted: reading.admitted,
        given_up: reading.given_up,
        waited: Some(histogram(&reading.waited)),
        ran: Some(histogram(&reading.ran)),
    }
}

fn histogram(times: &Times) -> v1::TimeHistogram {
    let bucket = |(bound, count): &(Option<std::time::Duration>, u64)| v1::TimeBucket {
        upper_bound_seconds: bound.map(|bound| bound.as_secs_f64()),
        cumulative_count: *count,
    };
    v1::TimeHistogram {
        buckets: times.buckets.iter().map(bucket).collect(),
        count: times.count,
        sum_seconds: times.sum.as_secs_f64(),
    }
}

fn prepared_slots(tasks: &Tasks) -> Vec<v1::PreparedSlots> {
    let wanted = tasks.slots.wanted();
    if wanted == 0 {
        return Vec::new();
    }
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let ready = tasks.slots.ready();
    let mut slots: Vec<v1::PreparedSlots> = tasks
        .routers
        .all()
        .iter()
        .map(|router| v1::PreparedSlots {
            vpc_id: router.vpc().to_string(),
            ready: number(ready.get(&router.vpc()).copied().unwrap_or(0)),
            wanted: number(wanted),
        })
        .collect();
    slots.sort_by(|a, b| a.vpc_id.cmp(&b.vpc_id));
    slots
}
