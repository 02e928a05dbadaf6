//! Periods: times that no interval, and so no record, reaches across.

/// A batch of the spool: the records of an interval, or of a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BatchTimes {
    /// Its number.
    pub(super) number: u64,
    /// Its beginning, in Unix seconds.
    pub(super) began: u64,
    /// Before when its records end, which is later.
    pub(super) until: u64,
}

/// Periods of batches whose records were added up to `interval` seconds, or not at all, in their order: Unix seconds, the end
/// not included. A record ends in the period that has its batches, and nowhere else.
fn periods(batches: &[BatchTimes], interval: Option<u64>) -> Vec<(u64, u64)> {
    let mut spans: Vec<(u64, u64)> = batches.iter().map(|batch| span(*batch, interval)).collect();
    spans.sort_unstable();
    let mut periods: Vec<(u64, u64)> = Vec::new();
    for (began, ended) in spans {
        match periods.last_mut() {
            Some(period) if began < period.1 => period.1 = period.1.max(ended),
            _ => periods.push((began, ended)),
        }
    }
    periods
}

/// The times that records of a batch can end in, with all that they are added up with.
fn span(BatchTimes { began, until, .. }: BatchTimes, interval: Option<u64>) -> (u64, u64) {
    let Some(interval) = interval.filter(|interval| *interval > 0) else { return (began, until) };
    let end = until.next_multiple_of(interval);
    (began.min(end - interval.min(end)), end)
}

/// The periods from the one that has `since` to the one that has `until`, together. Of those with batches that do not `count`
/// none is among them. None if there is nothing.
pub(super) fn choose(
    batches: &[BatchTimes],
    interval: Option<u64>,
    (since, until): (Option<u64>, Option<u64>),
    counts: impl Fn(u64) -> bool,
) -> Option<(u64, u64)> {
    let mut periods = periods(batches, interval);
    for batch in batches.iter().filter(|batch| !counts(batch.number)) {
        let (began, _) = span(*batch, interval);
        periods.retain(|period| !(period.0 <= began && began < period.1));
    }
    periods.retain(|(began, ended)| {
        since.is_none_or(|since| since < *ended) && until.is_none_or(|until| *began < until)
    });
    Some((periods.first()?.0, periods.last()?.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batches(times: &[(u64, u64)]) -> Vec<BatchTimes> {
        (1..)
            .zip(times)
            .map(|(number, (began, until))| BatchTimes { number, began: *began, until: *until })
            .collect()
    }

    #[test]
    fn periods_meet_where_no_batch_reaches_across() {
        for (times, interval, wanted) in [
            (&[(0, 10), (10, 20), (20, 30)][..], None, &[(0, 10), (10, 20), (20, 30)][..]),
            // The last records of an ENI, written before the interval was over.
            (&[(0, 10), (10, 14), (10, 20)], None, &[(0, 10), (10, 20)]),
            // A flush in the second of an end.
            (&[(0, 10), (10, 11), (10, 20)], None, &[(0, 10), (10, 20)]),
            (&[(0, 10), (10, 11), (10, 20)], Some(10), &[(0, 10), (10, 20)]),
            // Added up to longer intervals.
            (&[(0, 10), (10, 20), (20, 30)], Some(20), &[(0, 20), (20, 40)]),
            (&[(0, 10), (10, 21), (21, 30), (40, 50)], Some(20), &[(0, 40), (40, 60)]),
        ] {
            assert_eq!(periods(&batches(times), interval), wanted, "{times:?}");
        }
    }

    #[test]
    fn a_range_is_of_whole_periods_that_count() {
        let batches = batches(&[(0, 10), (10, 20), (20, 30), (30, 40)]);
        let all = |_| true;
        for (since, until, wanted) in [
            (None, None, Some((0, 40))),
            (Some(10), Some(20), Some((10, 20))),
            (Some(9), Some(21), Some((0, 30))),
            (Some(40), None, None),
        ] {
            assert_eq!(choose(&batches, None, (since, until), all), wanted, "{since:?} {until:?}");
        }
        assert_eq!(choose(&batches, None, (None, None), |number| (2..4).contains(&number)), Some((10, 30)));
        // Half of what is added up does not count.
        assert_eq!(choose(&batches, Some(20), (None, None), |number| number > 1), Some((20, 40)));
    }
}
