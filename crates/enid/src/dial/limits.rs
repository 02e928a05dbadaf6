//! How many dials there may be at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use enid_model::EniId;

use crate::lock;

/// The most dials of a task at a time: one that connects to what never answers must leave room for others.
const OF_TASK: usize = 256;
/// The most of all tasks.
const OF_HOST: usize = 1024;

/// The dials that are under way.
#[derive(Debug, Default)]
pub(super) struct Limits {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    of_tasks: HashMap<EniId, usize>,
}

/// Of what there are too many, and how many there may be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Full {
    Task(usize),
    Host(usize),
}

/// A dial that is under way, until it is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    limits: Arc<Limits>,
    eni: EniId,
}

impl Limits {
    pub(super) fn take(self: &Arc<Self>, eni: EniId) -> Result<Permit, Full> {
        let mut counts = lock(&self.counts);
        if counts.all >= OF_HOST {
            return Err(Full::Host(OF_HOST));
        }
        let of_task = counts.of_tasks.entry(eni).or_default();
        if *of_task >= OF_TASK {
            return Err(Full::Task(OF_TASK));
        }
        *of_task += 1;
        counts.all += 1;
        Ok(Permit { limits: Arc::clone(self), eni })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut counts = lock(&self.limits.counts);
        counts.all = counts.all.saturating_sub(1);
        let left = counts.of_tasks.get_mut(&self.eni).map(|count| {
            *count = count.saturating_sub(1);
            *count
        });
        if left == Some(0) {
            counts.of_tasks.remove(&self.eni);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_leaves_room_for_others_and_nothing_is_left_of_those_that_ended() {
        let limits = Arc::new(Limits::default());
        let enis: Vec<EniId> = (0..5).map(|_| EniId::random()).collect();
        let mut held: Vec<Permit> = (0..OF_TASK).map(|_| limits.take(enis[0]).unwrap()).collect();
        assert_eq!(limits.take(enis[0]).unwrap_err(), Full::Task(OF_TASK));
        for eni in &enis[1..4] {
            held.extend((0..OF_TASK).map(|_| limits.take(*eni).unwrap()));
        }
        assert_eq!(limits.take(enis[4]).unwrap_err(), Full::Host(OF_HOST));
        held.pop();
        held.push(limits.take(enis[4]).unwrap());
        drop(held);
        let counts = lock(&limits.counts);
        assert_eq!((counts.all, counts.of_tasks.len()), (0, 0));
    }
}
