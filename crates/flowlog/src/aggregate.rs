//! Aggregation: one record of each flow, of all that an interval has of it.

use std::collections::HashSet;
use std::net::IpAddr;

use ahash::RandomState;
use enid_model::{EniId, TrafficClass};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::record::{Direction, DropReason, FlowRecord, LogStatus, Observation, Traffic};

/// What the records of one flow have in common. Those of an ENI without traffic have no flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    eni: EniId,
    flow: Option<Flow>,
    status: LogStatus,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Flow {
    src: IpAddr,
    dst: IpAddr,
    ports: (u16, u16),
    protocol: u8,
    direction: Direction,
    class: TrafficClass,
    reason: Option<DropReason>,
}

impl Key {
    fn of(record: &FlowRecord) -> Self {
        let flow = record.traffic().map(|traffic| Flow {
            src: traffic.src,
            dst: traffic.dst,
            ports: (traffic.src_port, traffic.dst_port),
            protocol: traffic.protocol,
            direction: traffic.direction,
            class: traffic.class,
            reason: traffic.drop_reason,
        });
        Self { eni: record.interface.eni, flow, status: record.log_status() }
    }
}

/// A number that all records of one flow have in common, as evenly distributed as those of a hash. It is the same for as long
/// as the program is.
pub fn flow_hash(record: &FlowRecord) -> u64 {
    RandomState::with_seeds(1, 2, 3, 4).hash_one(Key::of(record))
}

/// Makes one record of all that are of one flow. A flow is a 5-tuple on one ENI in one direction, of one traffic class, let
/// through or refused for one reason.
#[derive(Debug, Default)]
pub struct Aggregator {
    records: Vec<FlowRecord>,
    /// Places in the list, by flow: a map of keys would be as large as the list.
    places: HashTable<u32>,
    random: RandomState,
    /// ENIs that had traffic of which there is no record here.
    busy: HashSet<EniId>,
}

impl Aggregator {
    /// Adds a record.
    pub fn add(&mut self, record: FlowRecord) {
        let Self { records, places, random, .. } = self;
        let key = Key::of(&record);
        let at = |place: &u32| records.get(*place as usize).map(Key::of);
        let hash = |place: &u32| random.hash_one(at(place));
        match places.entry(random.hash_one(Some(key)), |place| at(place) == Some(key), hash) {
            Entry::Vacant(vacant) => {
                // So many records, half a terabyte of them, are in no memory.
                vacant.insert(u32::try_from(records.len()).unwrap_or(u32::MAX));
                records.push(record);
            }
            Entry::Occupied(place) => {
                let place = *place.get() as usize;
                if let Some(known) = records.get_mut(place) {
                    join(known, record);
                }
            }
        }
    }

    /// Takes note of a record that is not wanted: its ENI was not idle, if it has traffic.
    pub fn pass_over(&mut self, record: &FlowRecord) {
        if record.log_status() != LogStatus::NoData {
            self.busy.insert(record.interface.eni);
        }
    }

    /// How many records there are so far.
    pub const fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The records, in the order of their starts. An ENI that has traffic has no NODATA record: it was idle for a part of
    /// the interval only.
    pub fn finish(self) -> Vec<FlowRecord> {
        let Self { mut records, mut busy, .. } = self;
        let is_idle = |record: &FlowRecord| record.log_status() == LogStatus::NoData;
        if records.iter().any(is_idle) {
            busy.extend(records.iter().filter(|record| !is_idle(record)).map(|record| record.interface.eni));
            records.retain(|record| !is_idle(record) || !busy.contains(&record.interface.eni));
        }
        // Stable sorting would take half as much memory again.
        records.sort_unstable_by_key(|record| (record.start, record.end));
        records
    }
}

impl Extend<FlowRecord> for Aggregator {
    fn extend<T: IntoIterator<Item = FlowRecord>>(&mut self, records: T) {
        for record in records {
            self.add(record);
        }
    }
}

/// Adds the second record of a flow to the first. What is known of the ENI and of the way is what was known last.
fn join(known: &mut FlowRecord, record: FlowRecord) {
    match (&mut known.observation, record.observation) {
        (Observation::Traffic(into), Observation::Traffic(from)) => {
            let Traffic { packets, bytes, tcp_flags, traffic_path, .. } = from;
            into.packets = into.packets.saturating_add(packets);
            into.bytes = into.bytes.saturating_add(bytes);
            into.tcp_flags |= tcp_flags;
            into.traffic_path = traffic_path.or(into.traffic_path);
        }
        (Observation::SkipData(into), Observation::SkipData(from)) => {
            into.packets = into.packets.saturating_add(from.packets);
            into.bytes = into.bytes.saturating_add(from.bytes);
            into.records = into.records.saturating_add(from.records);
        }
        // Keys differ by status, so that both are of one kind; and idleness has no counts.
        _ => {}
    }
    known.start = known.start.min(record.start);
    known.end = known.end.max(record.end);
    known.interface = record.interface;
    known.next_hop = record.next_hop.or_else(|| known.next_hop.take());
    known.src_service = record.src_service.or_else(|| known.src_service.take());
    known.dst_service = record.dst_service.or_else(|| known.dst_service.take());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Loss;
    use crate::testing::{any_record, ssh, traffic_mut};
    use proptest::prelude::*;

    fn aggregated(records: &[FlowRecord]) -> Vec<FlowRecord> {
        let mut aggregator = Aggregator::default();
        aggregator.extend(records.iter().cloned());
        aggregator.finish()
    }

    #[test]
    fn one_flow_becomes_one_record() {
        let (first, mut second) = (ssh(), ssh());
        (second.start, second.end) = (first.start - 5, first.end + 5);
        let traffic = traffic_mut(&mut second);
        (traffic.packets, traffic.bytes, traffic.tcp_flags) = (1, 40, 4);
        let mut both = first.clone();
        (both.start, both.end) = (second.start, second.end);
        let traffic = traffic_mut(&mut both);
        (traffic.packets, traffic.bytes, traffic.tcp_flags) = (21, 4289, 7);
        assert_eq!(aggregated(&[first.clone(), second.clone()]), [both]);
        // Another class or reason is another flow.
        traffic_mut(&mut second).class = TrafficClass::Logs;
        assert_eq!(aggregated(&[first.clone(), second.clone()]).len(), 2);
        traffic_mut(&mut second).class = TrafficClass::Application;
        traffic_mut(&mut second).drop_reason = Some(DropReason::NoRule);
        assert_eq!(aggregated(&[first.clone(), second.clone()]), [second, first]);
    }

    #[test]
    fn idle_is_who_had_no_traffic_in_the_whole_interval() {
        let (mut idle, mut skipped) = (ssh(), ssh());
        idle.observation = Observation::NoData;
        let loss = Loss { packets: 1, bytes: 100, records: 0 };
        skipped.observation = Observation::SkipData(loss);
        assert_eq!(aggregated(&[idle.clone(), idle.clone()]), [idle.clone()]);
        assert_eq!(aggregated(&[idle.clone(), ssh()]), [ssh()]);
        let twice = Observation::SkipData(Loss { packets: 2, bytes: 200, records: 0 });
        let found = aggregated(&[skipped.clone(), idle, skipped]);
        assert_eq!(found.iter().map(|record| record.observation).collect::<Vec<_>>(), [twice]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost(records in prop::collection::vec(any_record(), 0..20), twice in any::<bool>()) {
            let small = |mut record: FlowRecord| {
                if let Observation::Traffic(traffic) = &mut record.observation {
                    (traffic.packets, traffic.bytes) = (traffic.packets >> 8, traffic.bytes >> 8);
                }
                record
            };
            let mut records: Vec<_> = records.into_iter().map(small).collect();
            let distinct = aggregated(&records).len();
            if twice {
                records.extend(records.clone());
            }
            let found = aggregated(&records);
            let sum = |records: &[FlowRecord]| records.iter().filter_map(FlowRecord::traffic).map(|traffic| traffic.bytes).sum::<u64>();
            prop_assert_eq!(sum(&found), sum(&records));
            prop_assert_eq!(found.len(), distinct);
            prop_assert!(found.is_sorted_by_key(|record| (record.start, record.end)));
        }
    }
}
