//! Totals of many records by time.

use std::collections::HashMap;

use crate::field::Field;
use crate::summary::{Totals, number};
use crate::value::Fields;

/// The most buckets that [`Histogram::buckets`] gives: years of minutes.
const MOST_BUCKETS: u64 = 10_000_000;

/// Adds records up by the time that they end in.
#[derive(Debug, Clone)]
pub struct Histogram {
    width: u64,
    buckets: HashMap<u64, Totals>,
    total: Totals,
}

impl Histogram {
    /// An empty histogram with buckets of so many seconds; zero is taken as one. They are counted from 1970, as
    /// intervals are.
    pub fn new(width: u64) -> Self {
        Self { width: width.max(1), buckets: HashMap::new(), total: Totals::default() }
    }

    /// The fields that it needs, and the option that asks for them.
    pub fn needs() -> Vec<(Field, &'static str)> {
        [Field::End, Field::Packets, Field::Bytes].map(|field| (field, "--histogram")).to_vec()
    }

    /// The seconds that a bucket is wide.
    pub const fn width(&self) -> u64 {
        self.width
    }

    /// Adds a record. One without traffic adds nothing.
    pub fn add(&mut self, record: &impl Fields) {
        let (Some(end), Some(packets), Some(bytes)) =
            (number(record, Field::End), number(record, Field::Packets), number(record, Field::Bytes))
        else {
            return;
        };
        self.buckets.entry(end / self.width).or_default().add(packets, bytes);
        self.total.add(packets, bytes);
    }

    /// Adds what another one of the same width has added up.
    pub fn merge(&mut self, other: Self) {
        for (bucket, totals) in other.buckets {
            self.buckets.entry(bucket).or_default().merge(totals);
        }
        self.total.merge(other.total);
    }

    /// All records together.
    pub const fn total(&self) -> Totals {
        self.total
    }

    /// The buckets from the first with traffic to the last, by the Unix second that each begins at; those between that
    /// have none are there too, unless they are more than anybody looks at.
    pub fn buckets(&self) -> Vec<(u64, Totals)> {
        let mut numbers: Vec<u64> = self.buckets.keys().copied().collect();
        numbers.sort_unstable();
        if let (Some(first), Some(last)) = (numbers.first().copied(), numbers.last().copied())
            && last - first < MOST_BUCKETS
        {
            numbers = (first..=last).collect();
        }
        let totals = |number: &u64| self.buckets.get(number).copied().unwrap_or_default();
        numbers.iter().map(|number| (number * self.width, totals(number))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Observation;
    use crate::testing::{any_record, ending_at};
    use proptest::prelude::*;

    #[test]
    fn buckets_without_traffic_are_shown() {
        let mut histogram = Histogram::new(60);
        for end in [120, 179, 300] {
            histogram.add(&ending_at(end));
        }
        let mut idle = ending_at(900);
        idle.observation = Observation::NoData;
        histogram.add(&idle);
        let flows: Vec<_> =
            histogram.buckets().iter().map(|(begin, totals)| (*begin, totals.flows)).collect();
        assert_eq!(flows, [(120, 2), (180, 0), (240, 0), (300, 1)]);
        assert_eq!(histogram.total().flows, 3);
        histogram.add(&ending_at(u64::MAX));
        assert_eq!(histogram.buckets().len(), 3);
        assert_eq!(Histogram::new(0).width(), 1);
    }

    proptest! {
        #[test]
        fn buckets_add_up_to_the_total(records in prop::collection::vec(any_record(), 0..20), width: u64) {
            let mut histogram = Histogram::new(width);
            for record in &records { histogram.add(record); }
            let mut merged = histogram.clone();
            merged.merge(histogram.clone());
            let flows = |histogram: &Histogram| histogram.buckets().iter().map(|(_, totals)| totals.flows).sum::<u64>();
            prop_assert_eq!(flows(&histogram), histogram.total().flows);
            prop_assert_eq!(flows(&merged), 2 * histogram.total().flows);
        }
    }
}
