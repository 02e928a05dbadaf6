//! Times, counted in buckets whose bounds are fixed, so that many can add at once and nobody waits.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper bounds of the buckets, in microseconds; what takes longer is in one more.
const BOUNDS: [u64; 16] = [
    100, 250, 500, 1_000, 1_500, 2_000, 3_000, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 5_000_000,
];

/// How often something took how long.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    nanoseconds: AtomicU64,
}

/// A histogram at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Times {
    /// Each bucket's upper bound, the last one's being none, and how many times are in it or in one before.
    pub(crate) buckets: Vec<(Option<Duration>, u64)>,
    /// How many there are.
    pub(crate) count: u64,
    /// All of them together.
    pub(crate) sum: Duration,
}

impl Histogram {
    /// Adds a time.
    pub(crate) fn add(&self, time: Duration) {
        let microseconds = u64::try_from(time.as_nanos().div_ceil(1_000)).unwrap_or(u64::MAX);
        let place = BOUNDS.partition_point(|bound| *bound < microseconds);
        if let Some(bucket) = self.buckets.get(place) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// What there is now. A time that is added meanwhile may be in its bucket and not yet in the sum.
    pub(crate) fn read(&self) -> Times {
        let mut count = 0;
        let bounds = BOUNDS.iter().map(|bound| Some(Duration::from_micros(*bound))).chain([None]);
        let buckets = bounds
            .zip(&self.buckets)
            .map(|(bound, bucket)| {
                count += bucket.load(Ordering::Relaxed);
                (bound, count)
            })
            .collect();
        Times { buckets, count, sum: Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed)) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_time_is_in_the_first_bucket_that_has_room_for_it(times in prop::collection::vec(0_u64..20_000_000_000, 0..50)) {
            let histogram = Histogram::default();
            let times: Vec<Duration> = times.into_iter().map(Duration::from_nanos).collect();
            for time in &times {
                histogram.add(*time);
            }
            let read = histogram.read();
            prop_assert_eq!(read.count, times.len() as u64);
            prop_assert_eq!(read.sum, times.iter().sum());
            for (bound, count) in read.buckets {
                let within = times.iter().filter(|time| bound.is_none_or(|bound| **time <= bound)).count();
                prop_assert_eq!(count, within as u64);
            }
        }
    }

    #[test]
    fn bounds_grow() {
        assert!(BOUNDS.is_sorted_by(|a, b| a < b));
    }
}
