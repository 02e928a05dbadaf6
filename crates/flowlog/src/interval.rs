//! Aggregation intervals, and the records of ENIs that were idle in one.

use std::sync::Arc;

use crate::record::{FlowRecord, Interface, Observation};

/// The beginning of the interval that a time lies in: intervals of `seconds` each, counted from 1970, so that all
/// ENIs of all hosts have the same. Zero is taken as one second.
pub const fn interval_start(time: u64, seconds: u32) -> u64 {
    let seconds = if seconds == 0 { 1 } else { seconds as u64 };
    time - time % seconds
}

/// The NODATA records of the ENIs that had no traffic from `start` to `end` (Unix seconds).
pub fn no_data_records(
    idle: impl IntoIterator<Item = Arc<Interface>>,
    start: u64,
    end: u64,
) -> impl Iterator<Item = FlowRecord> {
    idle.into_iter().map(move |interface| FlowRecord::new(interface, start, end, Observation::NoData))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::LogStatus;
    use crate::testing;

    #[test]
    fn intervals_are_counted_from_1970() {
        assert_eq!(interval_start(1_418_530_010, 60), 1_418_529_960);
        assert_eq!(interval_start(1_418_530_010, 600), 1_418_529_600);
        assert_eq!(interval_start(7, 0), 7);
    }

    #[test]
    fn an_idle_interface_gets_one_record_without_traffic() {
        let idle = Arc::new(testing::interface());
        let records: Vec<_> = no_data_records([Arc::clone(&idle)], 60, 119).collect();
        assert_eq!(records.len(), 1);
        assert_eq!((records[0].start, records[0].end), (60, 119));
        assert_eq!(records[0].log_status(), LogStatus::NoData);
        assert_eq!(records[0].interface, idle);
    }
}
